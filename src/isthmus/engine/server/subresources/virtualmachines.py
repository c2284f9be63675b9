"""virtualmachines/*: start, stop, restart, migrate, expand-spec, addvolume, removevolume.

Preconditions and answers are KubeVirt 1.9's (virt-api's subresource handlers); clients match on them.
"""

from typing import Any

import orjson

from isthmus.engine.registry import instancetypes
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Table, Verbs
from isthmus.engine.server.subresources import shared
from isthmus.machinery import errors

Object = dict[str, Any]


def run_strategy(vm: Object) -> str:
    """The VM's run strategy, from `runStrategy` or the deprecated `running`."""
    spec = vm["spec"]
    if "running" in spec:
        return "Always" if spec["running"] else "Halted"
    return str(spec.get("runStrategy") or "Halted")


def _set_strategy(strategy: str) -> shared.Edit:
    def change(vm: Object) -> Object:
        if "running" in vm["spec"]:
            vm["spec"]["running"] = strategy == "Always"
        else:
            vm["spec"]["runStrategy"] = strategy
        return vm

    return change


def _request_changes(call: Call, requests: list[Object], *, replace: bool = False) -> shared.Edit:
    def change(vm: Object) -> Object:
        status = vm.setdefault("status", {})
        if status.get("stateChangeRequests") and not replace:
            raise shared.conflict(call, "unable to complete request: stop/start already underway")
        status["stateChangeRequests"] = requests
        status.pop("startFailure", None)  # who asks does not wait for a back-off
        return vm

    return change


async def start(call: Call) -> Response:
    """Start a VM: by its run strategy, or by a request that its controller carries out."""
    options, vm, vmi = shared.options(call), shared.find_vm(call), shared.find(call, shared.VMIS)
    dry_run = options["dryRun"]
    _check_start(call, vm, vmi)
    request: Object = {"action": "Start"} | ({"data": {"paused": "true"}} if options.get("paused") else {})
    halted = run_strategy(vm) == "Halted"
    if not halted or "data" in request:
        changes = _request_changes(call, [request])
        await shared.write(call, shared.VMS, changes, subresource="status", dry_run=dry_run)
    if halted:
        await shared.write(call, shared.VMS, _set_strategy("Always"), dry_run=dry_run)
    return shared.accepted()


def _check_start(call: Call, vm: Object, vmi: Object | None) -> None:
    """Raises StatusError 409 where a VM cannot be started now, or never by hand."""
    phase = (vmi.get("status") or {}).get("phase") if vmi else None
    if vmi and phase not in shared.FINAL and "deletionTimestamp" not in vmi["metadata"]:
        raise shared.conflict(call, "VM is already running")
    if shared.condition(vm, "ManualRecoveryRequired"):
        raise shared.conflict(call, "Volumes recovery required")
    strategy = run_strategy(vm)
    if strategy == "RerunOnFailure" and phase == "Failed":
        raise shared.conflict(call, "RerunOnFailure does not support starting VM from failed state")
    if strategy not in ("Halted", "Manual", "RerunOnFailure"):
        raise shared.conflict(call, f"{strategy} does not support manual start requests")


async def stop(call: Call) -> Response:
    """Stop a VM: by its run strategy, or by a request; `gracePeriod` shortens the guest's time."""
    options, vm, vmi = shared.options(call), shared.find_vm(call), shared.find(call, shared.VMIS)
    dry_run = options["dryRun"]
    alive = vmi is not None and vmi.get("status", {}).get("phase") not in shared.FINAL
    strategy, grace = run_strategy(vm), options.get("gracePeriod")
    if strategy in ("Halted", "Manual", "RerunOnFailure") and not alive:
        raise shared.conflict(call, "VM is not running")
    if strategy == "Halted" and vmi and (grace is None or grace >= _grace(vmi)):
        raise shared.conflict(call, "Halted only supports manual stop requests with a shorter graceperiod")
    if grace is not None and alive:
        await shared.write(call, shared.VMIS, _set_grace(grace), dry_run=dry_run)
    if strategy in ("Manual", "RerunOnFailure"):
        assert vmi
        request = {"action": "Stop", "uid": vmi["metadata"]["uid"]}
        await shared.write(
            call, shared.VMS, _request_changes(call, [request], replace=True), subresource="status", dry_run=dry_run
        )
    elif strategy != "Halted":
        await shared.write(call, shared.VMS, _set_strategy("Halted"), dry_run=dry_run)
    return shared.accepted()


def _grace(vmi: Object) -> int:
    return int(vmi["spec"].get("terminationGracePeriodSeconds", 30))


def _set_grace(seconds: int) -> shared.Edit:
    def change(vmi: Object) -> Object:
        if seconds < 0:
            raise errors.bad_request("gracePeriod has to be greater or equal to 0")
        vmi["spec"]["terminationGracePeriodSeconds"] = seconds
        return vmi

    return change


async def restart(call: Call) -> Response:
    """Stop the running VMI and start a new one."""
    options, vm, vmi = shared.options(call), shared.find_vm(call), shared.find(call, shared.VMIS)
    dry_run, grace = options["dryRun"], options.get("gracePeriodSeconds")
    if grace is not None and grace != 0:
        only_now = "For force restart, only gracePeriod=0 is supported for now"
        raise errors.bad_request(only_now if grace > 0 else "gracePeriod has to be greater or equal to 0")
    if run_strategy(vm) in ("Halted", "Once"):
        raise shared.conflict(call, f"RunStategy {run_strategy(vm)} does not support manual restart requests")
    if vmi is None:
        raise shared.conflict(call, "VM is not running: Halted")
    if grace is not None:
        await shared.write(call, shared.VMIS, _set_grace(1), dry_run=dry_run)
    requests = [{"action": "Stop", "uid": vmi["metadata"]["uid"]}, {"action": "Start"}]
    await shared.write(call, shared.VMS, _request_changes(call, requests), subresource="status", dry_run=dry_run)
    return shared.accepted()


async def migrate(call: Call) -> Response:
    """Ask for a live migration: a VirtualMachineInstanceMigration that its controller carries out."""
    options = shared.options(call)
    vmi = shared.find_vmi(call)
    shared.require_running(call, vmi)
    served = call.server.registry.by_resource(f"virtualmachineinstancemigrations.{shared.KUBEVIRT}")
    assert served
    spec = {"vmiName": call.info.name} | (
        {"addedNodeSelector": options["addedNodeSelector"]} if options.get("addedNodeSelector") else {}
    )
    migration = {
        "apiVersion": served.kind.api_version(),
        "kind": served.kind.kind,
        "metadata": {"generateName": "kubevirt-migrate-vm-", "namespace": call.info.namespace},
        "spec": spec,
    }
    context = WriteContext(call.user.name, call.user.groups, "v1", "", "virt-api", dry_run=options["dryRun"])
    await call.server.storage.create(served, migration, context)
    return shared.accepted()


async def expand_spec(call: Call) -> Response:
    """The VM with its instance type and preference folded in."""
    return Response(orjson.dumps(instancetypes.expand(shared.find_vm(call), call.server.storage.lookup)))


async def expand_given(call: Call) -> Response:
    """The same of a VM in the body, which need not exist (`expand-vm-spec` of a namespace)."""
    vm = body.read_any(call, call.write_context())
    if vm.get("kind", "VirtualMachine") != "VirtualMachine" or not isinstance(vm.get("spec"), dict):
        raise errors.bad_request("Object is not a valid VirtualMachine")
    given = vm.get("metadata")
    metadata: Object = given if isinstance(given, dict) else {}
    if metadata.get("namespace") not in (None, "", call.info.namespace):
        raise errors.bad_request(f"VM namespace must be {call.info.namespace}")
    vm["metadata"] = {"name": "", **metadata, "namespace": call.info.namespace}
    return Response(orjson.dumps(instancetypes.expand(vm, call.server.storage.lookup)))


def _add(spec: Object, options: Object, call: Call) -> None:
    """Put a hotplugged volume and its disk into a VMI's spec, in place. Raises StatusError 409."""
    name, source = options["name"], options["volumeSource"]
    if any(v.get("name") == name for v in spec.get("volumes") or []):
        raise shared.conflict(call, f"Unable to add volume [{name}] because volume with that name already exists")
    kind = next((k for k in ("persistentVolumeClaim", "dataVolume") if isinstance(source.get(k), dict)), "")
    if not kind:
        raise errors.bad_request("AddVolumeOptions requires a persistentVolumeClaim or a dataVolume in volumeSource")
    disk = {"disk": {"bus": "scsi"}, **(options.get("disk") or {}), "name": name}
    disk.setdefault("serial", name)
    spec["volumes"] = [*(spec.get("volumes") or []), {"name": name, kind: {**source[kind], "hotpluggable": True}}]
    devices = spec.setdefault("domain", {}).setdefault("devices", {})
    devices["disks"] = [*(devices.get("disks") or []), disk]


def _remove(spec: Object, options: Object, call: Call) -> None:
    """Take a hotplugged volume and its disk out again, in place. Raises StatusError 409."""
    name = options["name"]
    volume = next((v for v in spec.get("volumes") or [] if v.get("name") == name), None)
    if volume is None:
        raise shared.conflict(call, f"Unable to remove volume [{name}] because it does not exist")
    source = volume.get("persistentVolumeClaim") or volume.get("dataVolume") or {}
    if not source.get("hotpluggable"):
        raise shared.conflict(call, f"Unable to remove volume [{name}] because it is not hotpluggable")
    spec["volumes"] = [v for v in spec["volumes"] if v.get("name") != name]
    devices = spec["domain"]["devices"]
    devices["disks"] = [d for d in devices.get("disks") or [] if d.get("name") != name]


async def change_volumes(call: Call) -> Response:
    """addvolume, removevolume: of a VM in its template, of a VMI in its spec."""
    options, adding = shared.options(call), call.info.subresource == "addvolume"
    if not isinstance(options.get("name"), str) or not options["name"]:
        raise errors.bad_request(f"{'AddVolumeOptions' if adding else 'RemoveVolumeOptions'} requires name to be set")
    if adding and not isinstance(options.get("volumeSource"), dict):
        raise errors.bad_request("AddVolumeOptions requires VolumeSource to not be nil")
    vmi = shared.find(call, shared.VMIS)
    if vmi and (vmi.get("status") or {}).get("phase") not in shared.FINAL:
        act = "added to" if adding else "removed from"
        raise shared.conflict(call, f"volumes cannot be {act} a running guest on this platform yet: stop the VM first")
    of_vm = call.info.resource == "virtualmachines"
    (shared.find_vm if of_vm else shared.find_vmi)(call)

    def edit(obj: Object) -> Object:
        (_add if adding else _remove)(obj["spec"]["template"]["spec"] if of_vm else obj["spec"], options, call)
        return obj

    await shared.write(call, shared.VMS if of_vm else shared.VMIS, edit, dry_run=options["dryRun"])
    return shared.accepted()


VOLUMES: Verbs = {"update": change_volumes}
EXPAND = f"expand-vm-spec.{shared.SUBRESOURCES}"
TABLE: Table = {
    (EXPAND, ""): {"update": expand_given},
    (shared.VM_ACTS, "start"): {"update": start},
    (shared.VM_ACTS, "stop"): {"update": stop},
    (shared.VM_ACTS, "restart"): {"update": restart},
    (shared.VM_ACTS, "migrate"): {"update": migrate},
    (shared.VM_ACTS, "expand-spec"): {"get": expand_spec},
    (shared.VM_ACTS, "addvolume"): VOLUMES,
    (shared.VM_ACTS, "removevolume"): VOLUMES,
    (shared.VMI_ACTS, "addvolume"): VOLUMES,
    (shared.VMI_ACTS, "removevolume"): VOLUMES,
}
