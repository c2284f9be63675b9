"""VirtualMachines, their instances and migrations: what KubeVirt's webhooks complete and refuse, in process.

Sources: virt-api's mutating and validating webhooks; facts of defaults and immutability in KubeVirt's user guide 1.9.
What needs other objects (instance types, the VMI of a migration) is an admission plugin: `kubevirtadmission`.
"""

import uuid
from typing import Any

from isthmus.engine.registry.strategies import vmispec
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
RUN_STRATEGIES = ("Halted", "Manual", "Always", "RerunOnFailure", "Once", "WaitAsReceiver")
FIRMWARE_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
OWN_ACCOUNTS = ("system:masters", "system:isthmus:controllers", "system:nodes")
RESERVED_LABELS = ("kubevirt.io/created-by", "kubevirt.io/nodeName", "kubevirt.io/migrationJobUID", "kubevirt.io/migrationTargetNodeName", "kubevirt.io/managed-by")  # fmt: skip  # noqa: E501
RUNNING_DEPRECATED = "spec.running is deprecated, please use spec.runStrategy instead."
SUPPORTED_VALUE = "FieldValueNotSupported"


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
    if old is None:
        return vmispec.validate(new["spec"], "spec")
    if context.internal or any(g in OWN_ACCOUNTS for g in context.groups):
        return []
    if new["spec"] != old["spec"]:
        return [Cause("spec", "update of VMI object is restricted", SUPPORTED_VALUE)]
    before, after = (o["metadata"].get("labels") or {} for o in (old, new))
    if any(before.get(label) != after.get(label) for label in RESERVED_LABELS):
        message = "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
        return [Cause("metadata.labels", message, SUPPORTED_VALUE)]
    return []


def _prepare_vm(new: Object, old: Object | None, context: WriteContext) -> None:
    spec = new.setdefault("spec", {})
    if context.subresource:
        return
    if "running" in spec and (old is None or old["spec"].get("running") is not spec["running"]):
        context.warnings.append(RUNNING_DEPRECATED)


def _validate_vm(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if context.subresource or new["metadata"].get("deletionTimestamp"):
        return []
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return []
    causes = [*_run_strategy(spec)]
    template = spec.get("template")
    if not template:
        return [*causes, Cause("spec.template", "missing virtual machine template.", "FieldValueRequired")]
    inside = template.get("spec") or {}
    if spec.get("instancetype") or spec.get("preference"):
        return causes + _data_volume_templates(spec)  # its spec is judged once both are folded in: kubevirtadmission
    return causes + vmispec.validate(inside, "spec.template.spec") + _data_volume_templates(spec)


def _run_strategy(spec: Object) -> list[Cause]:
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is not None and strategy is not None:
        message = "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy instead"  # noqa: E501
        return [Cause("spec.running", message)]
    if running is None and strategy is None:
        return [Cause("spec.running", "One of Running or RunStrategy must be specified", "FieldValueRequired")]
    if strategy is not None and strategy not in RUN_STRATEGIES:
        return [Cause("spec.runStrategy", f"Invalid RunStrategy ({strategy})")]
    return []


def _data_volume_templates(spec: Object) -> list[Cause]:
    """Every template makes a volume of the VM."""
    volumes = at(spec, "template.spec.volumes") or []
    used = {at(v, "dataVolume.name") or at(v, "persistentVolumeClaim.claimName") for v in volumes}
    out = []
    for index, template in enumerate(spec.get("dataVolumeTemplates") or []):
        name = at(template, "metadata.name")
        field = f"spec.dataVolumeTemplate[{index}]"
        if not name:
            out.append(
                Cause(field, "'name' field must not be empty for DataVolumeTemplate entry", "FieldValueRequired")
            )
        elif name not in used:
            message = f"DataVolumeTemplate entry {field} must be referenced in the VMI template's 'volumes' list"
            out.append(Cause(field, message))
    return out


def _validate_migration(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    spec = new.get("spec") or {}
    if old is not None:
        if spec != old.get("spec"):
            return [Cause("spec", "update of Migration object's spec is restricted", SUPPORTED_VALUE)]
        return []
    if not spec.get("vmiName"):
        return [Cause("spec.vmiName", "vmiName is missing", "FieldValueRequired")]
    return []


def _fixed_spec(kind: str) -> Any:
    def validate(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
        if old is not None and context.subresource == "" and new.get("spec") != old.get("spec"):
            return [Cause("spec", f"spec in immutable after creation: {kind}")]
        return []

    return validate


register("virtualmachines.kubevirt.io", Strategy(prepare=_prepare_vm, validate=_validate_vm))
register(
    "virtualmachineinstances.kubevirt.io",
    Strategy(prepare=_prepare_vmi, validate=_validate_vmi, generation=True, keeps_status=True),
)
register("virtualmachineinstancemigrations.kubevirt.io", Strategy(validate=_validate_migration))
for _kind, _plural in (
    ("VirtualMachineSnapshot", "virtualmachinesnapshots.snapshot"),
    ("VirtualMachineRestore", "virtualmachinerestores.snapshot"),
    ("VirtualMachineBackup", "virtualmachinebackups.backup"),
):
    register(f"{_plural}.kubevirt.io", Strategy(validate=_fixed_spec(_kind)))
