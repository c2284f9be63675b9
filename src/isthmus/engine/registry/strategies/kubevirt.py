"""VirtualMachines and VirtualMachineInstances: what KubeVirt's webhooks complete and refuse, in process."""

import uuid
from typing import Any

from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
RUN_STRATEGIES = ("Always", "RerunOnFailure", "Manual", "Halted", "Once", "WaitAsReceiver")
FIRMWARE_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
OWN_ACCOUNTS = ("system:masters", "system:isthmus:controllers", "system:nodes")


def _default_domain(spec: Object) -> None:
    """Devices for volumes without one, the pod network for a VM that names none (virt-api's VMI mutator)."""
    domain = spec.setdefault("domain", {})
    devices = domain.setdefault("devices", {})
    named = {d.get("name") for d in [*(devices.get("disks") or []), *(devices.get("filesystems") or [])]}
    missing = [v["name"] for v in spec.get("volumes") or [] if v.get("name") and v["name"] not in named]
    if missing:
        devices["disks"] = [*(devices.get("disks") or []), *({"name": n, "disk": {}} for n in missing)]
    if "networks" not in spec and devices.get("autoattachPodInterface") is not False:
        if not devices.get("interfaces"):
            devices["interfaces"] = [{"name": "default", "masquerade": {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]
    domain.setdefault("machine", {"type": "q35"})


def _prepare_vmi(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is None:
        spec = new.setdefault("spec", {})
        _default_domain(spec)
        firmware = spec["domain"].setdefault("firmware", {})
        metadata = new["metadata"]
        identity = f"{metadata['namespace']}/{metadata['name']}"
        firmware.setdefault("uuid", str(uuid.uuid5(FIRMWARE_NAMESPACE, identity)))
        spec.setdefault("terminationGracePeriodSeconds", 30)
        new["status"] = {"phase": "Pending"} | (new.get("status") or {})


def _validate_vmi(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if old is not None:
        ours = any(g in OWN_ACCOUNTS for g in context.groups)
        if new["spec"] != old["spec"] and not ours:
            return [Cause("spec", "Forbidden: update of VMI object is restricted")]
        return []
    return _validate_spec(new["spec"], "spec")


def _validate_vm(new: Object, _old: Object | None, _context: WriteContext) -> list[Cause]:
    spec, causes = new.get("spec") or {}, []
    if "running" in spec and "runStrategy" in spec:
        causes.append(Cause("spec.running", "Invalid value: Running and RunStrategy are mutually exclusive"))
    if "running" not in spec and "runStrategy" not in spec:
        causes.append(
            Cause("spec", "Required value: One of Running or RunStrategy must be specified", "FieldValueRequired")
        )
    if "runStrategy" in spec and spec["runStrategy"] not in RUN_STRATEGIES:
        supported = ", ".join(RUN_STRATEGIES)
        causes.append(
            Cause("spec.runStrategy", f'Unsupported value: "{spec["runStrategy"]}": supported values: {supported}',
                  "FieldValueNotSupported")
        )  # fmt: skip
    template = spec.get("template")
    if not template:
        return [*causes, Cause("spec.template", "Required value", "FieldValueRequired")]
    return causes + _validate_spec(template.get("spec") or {}, "spec.template.spec")


def _validate_spec(spec: Object, path: str) -> list[Cause]:
    """Names are unique, disks have volumes, interfaces have networks."""
    causes: list[Cause] = []
    devices = (spec.get("domain") or {}).get("devices") or {}
    volumes, networks = spec.get("volumes") or [], spec.get("networks") or []
    interfaces, disks = devices.get("interfaces") or [], devices.get("disks") or []
    where = f"{path}.domain.devices"
    for items, place in (
        (volumes, f"{path}.volumes"),
        (networks, f"{path}.networks"),
        (disks, f"{where}.disks"),
        (interfaces, f"{where}.interfaces"),
    ):
        causes += _unique_names(items, place)
    volume_names = {v.get("name") for v in volumes}
    for index, disk in enumerate(disks):
        if disk.get("name") not in volume_names and "cdrom" not in disk:
            causes.append(
                Cause(
                    f"{where}.disks[{index}].name",
                    f"Invalid value: {where}.disks[{index}].name '{disk.get('name')}' not found in volumes",
                )
            )
    network_names = {n.get("name") for n in networks}
    for index, interface in enumerate(interfaces):
        if networks and interface.get("name") not in network_names:
            causes.append(
                Cause(
                    f"{where}.interfaces[{index}].name",
                    f"Invalid value: '{interface.get('name')}' does not match any network",
                )
            )
    interface_names = {i.get("name") for i in interfaces}
    for index, network in enumerate(networks):
        if network.get("name") not in interface_names:
            causes.append(
                Cause(f"{path}.networks[{index}].name", f"Invalid value: '{network.get('name')}' has no interface")
            )
    return causes


def _unique_names(items: list[Object], place: str) -> list[Cause]:
    seen: set[str] = set()
    causes = []
    for index, item in enumerate(items):
        name = item.get("name", "")
        if not name:
            causes.append(Cause(f"{place}[{index}].name", "Required value", "FieldValueRequired"))
        elif name in seen:
            causes.append(Cause(f"{place}[{index}].name", f'Duplicate value: "{name}"', "FieldValueDuplicate"))
        seen.add(name)
    return causes


def _prepare_vm(new: Object, old: Object | None, context: WriteContext) -> None:
    spec = new.setdefault("spec", {})
    if "running" in spec and context.subresource == "":
        context.warnings.append("spec.running is deprecated, please use spec.runStrategy instead.")
    if old is None:
        new["metadata"].setdefault("labels", new["metadata"].get("labels") or {})


register("virtualmachines.kubevirt.io", Strategy(prepare=_prepare_vm, validate=_validate_vm))
register("virtualmachineinstances.kubevirt.io", Strategy(prepare=_prepare_vmi, validate=_validate_vmi, generation=True))
