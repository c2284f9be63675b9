"""subresources.kubevirt.io: start, stop, restart, migrate of VMs; consoles and acts on VMIs.

Preconditions and answers are KubeVirt 1.9's (facts: virt-api's subresource handlers); clients match on them. Acts that
concern QEMU go on to the node's agent, under the path of the VMI.
"""

from typing import Any

import orjson

from isthmus.engine.registry import instancetypes
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server import agent
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.subresources.handler import Table
from isthmus.machinery import errors

Object = dict[str, Any]
KUBEVIRT, SUBRESOURCES = "kubevirt.io", "subresources.kubevirt.io"
VMS, VMIS = f"virtualmachines.{KUBEVIRT}", f"virtualmachineinstances.{KUBEVIRT}"
FINAL = ("Succeeded", "Failed")
ACCEPTED = Response(b"", 202)


def _find(call: Call, resource: str) -> Object | None:
    row = call.server.store.head((resource, call.info.namespace, call.info.name))
    return row.decode() if row else None


def _vm(call: Call) -> Object:
    vm = _find(call, VMS)
    if vm is None:
        raise errors.not_found(KUBEVIRT, "virtualmachines", call.info.name)
    return vm


def _vmi(call: Call) -> Object:
    vmi = _find(call, VMIS)
    if vmi is None:
        raise errors.not_found(KUBEVIRT, "virtualmachineinstances", call.info.name)
    return vmi


def _conflict(call: Call, why: str) -> errors.StatusError:
    resource = "virtualmachine" if call.info.resource == "virtualmachines" else "virtualmachineinstance"
    return errors.conflict(KUBEVIRT, f"{resource}.{KUBEVIRT}".removesuffix(f".{KUBEVIRT}"), call.info.name, why)


def _options(call: Call) -> Object:
    return body.read_any(call, call.write_context()) if call.request.body.strip() else {}


def run_strategy(vm: Object) -> str:
    """The VM's run strategy, from `runStrategy` or the deprecated `running`."""
    spec = vm["spec"]
    if "running" in spec:
        return "Always" if spec["running"] else "Halted"
    return str(spec.get("runStrategy") or "Halted")


async def _write(call: Call, resource: str, change: Any, *, subresource: str = "", dry_run: bool = False) -> None:
    served = call.server.registry.by_resource(resource)
    assert served
    context = WriteContext(
        call.user.name,
        call.user.groups,
        served.kind.storage_version,
        subresource,
        "virt-api",
        dry_run=dry_run,
        internal=True,
    )
    await call.server.storage.modify(served, (resource, call.info.namespace, call.info.name), change, context)


def _set_strategy(strategy: str) -> Any:
    def change(vm: Object) -> Object:
        if "running" in vm["spec"]:
            vm["spec"]["running"] = strategy == "Always"
        else:
            vm["spec"]["runStrategy"] = strategy
        return vm

    return change


def _request_changes(call: Call, requests: list[Object], *, replace: bool = False) -> Any:
    def change(vm: Object) -> Object:
        status = vm.setdefault("status", {})
        if status.get("stateChangeRequests") and not replace:
            raise _conflict(call, "unable to complete request: stop/start already underway")
        status["stateChangeRequests"] = requests
        return vm

    return change


async def start(call: Call) -> Response:
    """Start a VM: by its run strategy, or by a request that its controller carries out."""
    options, vm, vmi = _options(call), _vm(call), _find(call, VMIS)
    dry_run = bool(options.get("dryRun"))
    if vmi and vmi.get("status", {}).get("phase") not in FINAL and "deletionTimestamp" not in vmi["metadata"]:
        raise _conflict(call, "VM is already running")
    if _condition(vm, "ManualRecoveryRequired"):
        raise _conflict(call, "Volumes recovery required")
    strategy = run_strategy(vm)
    data = {"paused": "true"} if options.get("paused") else {}
    request = {"action": "Start"} | ({"data": data} if data else {})
    if strategy == "Halted":
        if data:
            await _write(call, VMS, _request_changes(call, [request]), subresource="status", dry_run=dry_run)
        await _write(call, VMS, _set_strategy("Always"), dry_run=dry_run)
    elif strategy == "Manual" or (
        strategy == "RerunOnFailure" and not (vmi and vmi["status"].get("phase") == "Failed")
    ):
        await _write(call, VMS, _request_changes(call, [request]), subresource="status", dry_run=dry_run)
    elif strategy == "RerunOnFailure":
        raise _conflict(call, "RerunOnFailure does not support starting VM from failed state")
    else:
        raise _conflict(call, f"{strategy} does not support manual start requests")
    return ACCEPTED


async def stop(call: Call) -> Response:
    """Stop a VM: by its run strategy, or by a request; `gracePeriod` shortens the guest's time."""
    options, vm, vmi = _options(call), _vm(call), _find(call, VMIS)
    dry_run = bool(options.get("dryRun"))
    alive = vmi is not None and vmi.get("status", {}).get("phase") not in FINAL
    strategy, grace = run_strategy(vm), options.get("gracePeriod")
    if vmi and alive and _condition(vmi, "Paused"):
        raise _conflict(call, "VM is paused: unpause it before stopping it")
    if strategy == "Halted" and not (alive and grace is not None):
        raise _conflict(call, "VM is not running")
    if strategy in ("Manual", "RerunOnFailure") and not alive:
        raise _conflict(call, "VM is not running")
    if grace is not None and alive:
        await _write(call, VMIS, _shorten_grace(int(grace)), dry_run=dry_run)
    if strategy in ("Manual", "RerunOnFailure"):
        assert vmi
        request = {"action": "Stop", "uid": vmi["metadata"]["uid"]}
        await _write(call, VMS, _request_changes(call, [request], replace=True), subresource="status", dry_run=dry_run)
    elif strategy != "Halted":
        await _write(call, VMS, _set_strategy("Halted"), dry_run=dry_run)
    return ACCEPTED


def _shorten_grace(seconds: int) -> Any:
    def change(vmi: Object) -> Object:
        now = vmi["spec"].get("terminationGracePeriodSeconds", 30)
        if seconds < 0 or seconds > now:
            raise errors.bad_request(f"gracePeriod: {seconds} must be between 0 and the VMI's own {now} seconds")
        vmi["spec"]["terminationGracePeriodSeconds"] = seconds
        return vmi

    return change


async def restart(call: Call) -> Response:
    """Stop the running VMI and start a new one."""
    options, vm, vmi = _options(call), _vm(call), _find(call, VMIS)
    dry_run, grace = bool(options.get("dryRun")), options.get("gracePeriodSeconds")
    if grace is not None and int(grace) > 0:
        raise errors.bad_request("For force restart, only gracePeriod=0 is supported for now")
    if run_strategy(vm) in ("Halted", "Once"):
        raise _conflict(call, f"{run_strategy(vm)} does not support manual restart requests")
    if vmi is None:
        raise _conflict(call, "VM is not running")
    if grace is not None:
        await _write(call, VMIS, _shorten_grace(1), dry_run=dry_run)
    requests = [{"action": "Stop", "uid": vmi["metadata"]["uid"]}, {"action": "Start"}]
    await _write(call, VMS, _request_changes(call, requests), subresource="status", dry_run=dry_run)
    return ACCEPTED


def _condition(obj: Object, kind: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)


def _require_running(call: Call, vmi: Object) -> str:
    """The node that runs it. Raises StatusError 409 with the phase in words."""
    status = vmi.get("status") or {}
    if status.get("phase") != "Running" or not status.get("nodeName"):
        raise _conflict(call, f"VM is not running (it is {status.get('phase') or 'Pending'})")
    return str(status["nodeName"])


async def _to_agent(call: Call, node: str) -> Response | None:
    query = f"?{call.request.raw_query}" if call.request.raw_query else ""
    path = f"/vmis/{call.info.namespace}/{call.info.name}/{call.info.subresource}{query}"
    return await agent.forward(call.server.home, node, call.request, path)


async def act(call: Call) -> Response | None:
    """pause, unpause, freeze, unfreeze, reset, softreboot, guest information: the agent does it on the running VMI."""
    vmi = _vmi(call)
    node = _require_running(call, vmi)
    subresource, paused = call.info.subresource, _condition(vmi, "Paused")
    if subresource == "pause" and paused:
        raise _conflict(call, "VMI is already paused")
    if subresource == "unpause" and not paused:
        raise _conflict(call, "VMI is not paused")
    if subresource == "softreboot" and paused:
        raise _conflict(call, "VMI is paused")
    if subresource in GUEST_QUERIES and not _condition(vmi, "AgentConnected"):
        raise _conflict(call, "VMI does not have guest agent connected")
    return await _to_agent(call, node)


async def connect(call: Call) -> Response | None:
    """console, vnc, portforward: WebSockets that the agent speaks."""
    vmi = _vmi(call)
    phase, devices = (vmi.get("status") or {}).get("phase"), vmi["spec"]["domain"].get("devices") or {}
    subresource = call.info.subresource
    if phase == "Failed":
        raise _conflict(call, "VMI is in failed status")
    if subresource == "console" and devices.get("autoattachSerialConsole") is False:
        raise errors.bad_request("No serial consoles are present.")
    if subresource.startswith("vnc") and devices.get("autoattachGraphicsDevice") is False:
        raise errors.bad_request("No graphics devices are present.")
    if phase != "Running":
        raise errors.bad_request(f"VirtualMachineInstance is not running (it is {phase or 'Pending'})")
    if subresource.startswith("portforward") and _condition(vmi, "Paused"):
        raise _conflict(call, "VMI is paused")
    if not subresource.endswith("screenshot") and call.request.wants_upgrade != "websocket":
        raise errors.bad_request(f"{subresource} is a WebSocket: send an upgrade request, as virtctl does")
    return await _to_agent(call, vmi["status"]["nodeName"])


async def migrate(call: Call) -> Response:
    """Ask for a live migration: a VirtualMachineInstanceMigration that its controller carries out."""
    options = _options(call)
    vmi = _vmi(call)
    _require_running(call, vmi)
    served: Served | None = call.server.registry.by_resource(f"virtualmachineinstancemigrations.{KUBEVIRT}")
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
    context = WriteContext(call.user.name, call.user.groups, "v1", "", "virt-api", dry_run=bool(options.get("dryRun")))
    await call.server.storage.create(served, migration, context)
    return ACCEPTED


async def expand_spec(call: Call) -> Response:
    """The VM with its instance type and preference folded in."""
    return Response(orjson.dumps(instancetypes.expand(_vm(call), call.server.storage.lookup)))


GUEST_QUERIES = ("guestosinfo", "userlist", "filesystemlist")
_VM, _VMI = f"virtualmachines.{SUBRESOURCES}", f"virtualmachineinstances.{SUBRESOURCES}"
TABLE: Table = {
    (_VM, "start"): {"update": start},
    (_VM, "stop"): {"update": stop},
    (_VM, "restart"): {"update": restart},
    (_VM, "migrate"): {"update": migrate},
    (_VM, "portforward/*"): {"get": connect},
    (_VMI, "portforward/*"): {"get": connect},
    **{(_VMI, s): {"get": connect} for s in ("console", "vnc", "vnc/screenshot")},
    **{(_VMI, s): {"update": act} for s in ("pause", "unpause", "freeze", "unfreeze", "reset", "softreboot")},
    **{(_VMI, s): {"get": act} for s in GUEST_QUERIES},
}
