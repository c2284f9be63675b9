"""VirtualMachines, their instances and migrations: what KubeVirt's webhooks complete and refuse, in process.

Sources: virt-api's mutating and validating webhooks of KubeVirt 1.9. That a backup's spec is fixed says its schema.
What needs other objects (instance types, the VMI of a migration) is an admission plugin: `kubevirtadmission`.
"""

import uuid
from typing import Any

from isthmus.engine.registry.strategies import datavolumetemplates, vmiarchitecture, vmidefaults, vmispec
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
RUN_STRATEGIES = (
    "Halted",
    "Manual",
    "Always",
    "RerunOnFailure",
    "Once",
    "WaitAsReceiver",
)  # the last behind a feature gate there
FIRMWARE_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
OWN_ACCOUNTS = ("system:masters", "system:isthmus:controllers", "system:nodes")
RESERVED_LABELS = (
    "kubevirt.io/created-by",
    "kubevirt.io/install-strategy",
    "kubevirt.io/migrationJobUID",
    "kubevirt.io/migrationTargetNodeName",
    "kubevirt.io/nodeName",
    "kubevirt.io/schedulable",
)
VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
RUNNING_DEPRECATED = "spec.running is deprecated, please use spec.runStrategy instead."
SELECTOR_LABEL = "kubevirt.io/vmi-name"
REQUIRED, UNSUPPORTED = "FieldValueRequired", "FieldValueNotSupported"


def _prepare_vmi(new: Object, old: Object | None, context: WriteContext) -> None:
    """Its status has no path of its own, and is not a user's to write: what they send is passed over."""
    if old is None:
        spec = new.setdefault("spec", {})
        vmidefaults.apply(spec)
        firmware = spec["domain"].setdefault("firmware", {})
        metadata = new["metadata"]
        identity = f"{metadata['namespace']}/{metadata['name']}"
        firmware.setdefault("uuid", str(uuid.uuid5(FIRMWARE_NAMESPACE, identity)))
        finalizers = metadata.get("finalizers") or []
        if VMI_FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, VMI_FINALIZER]
        born = {"phase": "Pending", "phaseTransitionTimestamp": metadata["creationTimestamp"]}
        given = (new.get("status") or {}) if _is_own(context) else {}
        new["status"] = {"phase": "Pending", "phaseTransitionTimestamps": [born]} | given
    elif not _is_own(context) and "status" in old:
        new["status"] = old["status"]


def _is_own(context: WriteContext) -> bool:
    """One of our components writes, or the server on somebody's behalf."""
    return context.internal or any(group in OWN_ACCOUNTS for group in context.groups)


def _reserved(labels: Object | None) -> Object:
    return {label: labels[label] for label in RESERVED_LABELS if label in labels} if labels else {}


def _created_labels(metadata: Object, path: str, context: WriteContext) -> list[Cause]:
    """Labels by which KubeVirt knows its own are not a user's to give."""
    if not _reserved(metadata.get("labels")) or _is_own(context):
        return []
    message = "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
    return [Cause(f"{path}.labels", message, UNSUPPORTED)]


def _validate_vmi(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if old is None:
        causes = vmispec.validate(new["spec"], "spec") + vmispec.memory_is_requested(new["spec"], "spec")
        causes += vmiarchitecture.validate(new["spec"], "spec")
        return causes + _created_labels(new["metadata"], "metadata", context)
    if _is_own(context):
        return []
    if new["spec"] != old["spec"]:
        return [Cause("", "update of VMI object is restricted", UNSUPPORTED)]
    if _reserved(old["metadata"].get("labels")) != _reserved(new["metadata"].get("labels")):
        message = "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
        return [Cause("", message, UNSUPPORTED)]
    return []


def _prepare_vm(new: Object, _old: Object | None, context: WriteContext) -> None:
    spec = new.setdefault("spec", {})
    if not context.subresource and spec.get("running") is not None:
        context.warnings.append(RUNNING_DEPRECATED)


def _validate_vm(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if context.subresource or new["metadata"].get("deletionTimestamp"):
        return []
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return []
    template = spec.get("template")
    if not template:
        return [Cause("spec.template", "missing virtual machine template.", REQUIRED)]
    causes = _created_labels(template.get("metadata") or {}, "spec.template.metadata", context)
    if not (
        spec.get("instancetype") or spec.get("preference")
    ):  # else judged when both are folded in: kubevirtadmission
        causes += vmispec.validate(template.get("spec") or {}, "spec.template.spec")
    return [*causes, *datavolumetemplates.validate(spec, new["metadata"]["namespace"], old), *_run_strategy(spec)]


def _run_strategy(spec: Object) -> list[Cause]:
    running, strategy = spec.get("running"), spec.get("runStrategy")
    causes = []
    if running is not None and strategy is not None:
        message = "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy instead"  # noqa: E501
        causes.append(Cause("spec.running", message))
    if running is None and strategy is None:
        causes.append(Cause("spec.running", "RunStrategy must be specified"))
    if strategy is not None and strategy not in RUN_STRATEGIES:
        causes.append(Cause("spec.runStrategy", f"Invalid RunStrategy ({strategy})"))
    return causes


def _prepare_migration(new: Object, old: Object | None, _context: WriteContext) -> None:
    """The label by which the migrations of an instance are found (virt-api's mutator)."""
    if old is None and (name := (new.get("spec") or {}).get("vmiName")):
        new["metadata"]["labels"] = {**(new["metadata"].get("labels") or {}), SELECTOR_LABEL: name}


def _validate_migration(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    spec = new.get("spec") or {}
    if old is None:
        return [] if spec.get("vmiName") else [Cause("spec.vmiName", "vmiName is missing", REQUIRED)]
    if spec != old.get("spec"):
        return [Cause("", "update of Migration object's spec is restricted", UNSUPPORTED)]
    if (new.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return []
    before, after = ((o["metadata"].get("labels") or {}).get(SELECTOR_LABEL) for o in (old, new))
    if before is not None and after != before:
        act = "modified on" if new["metadata"].get("labels") else "removed from"
        return [Cause("", f"selector label can't be {act} an in-flight migration", UNSUPPORTED)]
    return []


def _validate_snapshot(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    """Of a VirtualMachine, and the same for good."""
    if old is not None:
        return _fixed_spec(new, old, context)
    source = (new.get("spec") or {}).get("source") or {}
    if source.get("apiGroup") is None:
        return [Cause("spec.source.apiGroup", "missing apiGroup", "FieldValueNotFound")]
    if source["apiGroup"] != "kubevirt.io":
        return [Cause("spec.source.apiGroup", "invalid apiGroup")]
    return [] if source.get("kind") == "VirtualMachine" else [Cause("spec.source.kind", "invalid kind")]


def _fixed_spec(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if old is not None and context.subresource == "" and new.get("spec") != old.get("spec"):
        return [Cause("spec", "spec in immutable after creation")]
    return []


register("virtualmachines.kubevirt.io", Strategy(prepare=_prepare_vm, validate=_validate_vm))
register(
    "virtualmachineinstances.kubevirt.io",
    Strategy(prepare=_prepare_vmi, validate=_validate_vmi, generation=True, keeps_status=True),
)
register(
    "virtualmachineinstancemigrations.kubevirt.io", Strategy(prepare=_prepare_migration, validate=_validate_migration)
)
register("virtualmachinesnapshots.snapshot.kubevirt.io", Strategy(validate=_validate_snapshot))
register("virtualmachinerestores.snapshot.kubevirt.io", Strategy(validate=_fixed_spec))
