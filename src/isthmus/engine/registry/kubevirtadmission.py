"""What KubeVirt's webhooks decide by looking at other objects: instance types and preferences of a VM, the VMI of a
migration. Admission plugins (see `plugins`); messages are virt-api's.
"""

from typing import Any

from isthmus.engine.registry import instancetypes
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategies import vmispec
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, instancetype, instancetypeinference
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
VMIS = "virtualmachineinstances.kubevirt.io"
SOURCES = {
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "DataVolume": "datavolumes.cdi.kubevirt.io",
    "DataSource": "datasources.cdi.kubevirt.io",
}


def _infer(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    """Fill in what `inferFromVolume` leads to, and the kinds of matchers (the VM mutator)."""
    spec = new.get("spec") or {}
    if context.subresource or not (spec.get("instancetype") or spec.get("preference")):
        return
    if old is not None and spec is old.get("spec"):
        return
    namespace = new["metadata"].get("namespace", "")
    for which, kind in instancetypeinference.DEFAULT_KIND.items():
        matcher = spec.get(which)
        if not isinstance(matcher, dict):
            continue
        matcher = dict(matcher)
        if matcher.get("inferFromVolume"):
            matcher = _inferred(served, new, which, matcher, namespace, lookup)
        elif matcher.get("name"):
            matcher.setdefault("kind", kind)
        if matcher:
            spec[which] = matcher
        else:
            del spec[which]


def _inferred(served: Served, vm: Object, which: str, matcher: Object, namespace: str, lookup: Lookup) -> Object:
    try:
        return instancetypeinference.infer(vm, which, lambda kind, name: lookup(SOURCES[kind], namespace, name))
    except instancetypeinference.InferenceError as error:
        if matcher.get("inferFromVolumeFailurePolicy") == "Ignore":
            return {}
        cause = Cause(f"spec.{which}", str(error), "FieldValueNotFound")
        raise errors.invalid(served.kind.group, served.kind.kind, vm["metadata"].get("name", ""), [cause]) from error


def _fits(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    """The instance type and preference exist, do not conflict with the VM, and what comes of all three is valid."""
    spec = new["spec"]
    if context.subresource or not (spec.get("instancetype") or spec.get("preference")):
        return
    if new["metadata"].get("deletionTimestamp") or (old is not None and spec == old.get("spec")):
        return
    wrong: list[Cause] = []
    found: dict[str, Object | None] = {}
    for which in instancetypes.CLUSTER_SCOPED:
        try:
            found[which] = None if _captured(new, which) else instancetypes.find_spec(new, which, lookup)
        except errors.StatusError as error:
            wrong.append(Cause(f"spec.{which}", f"Failure to find {which}: {error.message}", "FieldValueNotFound"))
    if not wrong:
        wrong = _conflicts(new, found)
    if wrong:
        raise errors.invalid(served.kind.group, served.kind.kind, new["metadata"]["name"], wrong)


def _captured(vm: Object, which: str) -> bool:
    """The VM has started with it: a ControllerRevision holds its form, whatever has become of the object itself."""
    reference = (vm.get("status") or {}).get(f"{which}Ref") or {}
    matcher = vm["spec"].get(which) or {}
    return bool(reference.get("controllerRevisionRef")) and reference.get("name") == matcher.get("name")


def _conflicts(vm: Object, found: dict[str, Object | None]) -> list[Cause]:
    expansion = instancetype.expand(vm, found["instancetype"], found["preference"])
    if expansion.conflicts:
        text = "VM field(s) {} conflicts with selected instance type"
        return [Cause(field, text.format(field)) for field in expansion.conflicts]
    if _captured(vm, "instancetype"):
        return []  # its CPU and memory are in the revision, not in the VM
    return vmispec.validate(expansion.vm["spec"]["template"]["spec"], "spec.template.spec")


def _migratable(served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> None:
    """A migration is of a VMI that is there, lives and can move (the VMIM create admitter)."""
    if old is not None or (new["spec"].get("receive") is not None):
        return
    name, metadata = new["spec"]["vmiName"], new["metadata"]
    vmi = lookup(VMIS, metadata["namespace"], name)
    why = ""
    if vmi is None:
        why = f'the VMI "{name}" does not exist under the cluster'
    elif (vmi.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        why = "Cannot migrate VMI in finalized state."
    else:
        for condition in (vmi.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "LiveMigratable" and condition.get("status") == "False":
                reason, message = condition.get("reason", ""), condition.get("message", "")
                why = f"Cannot migrate VMI, Reason: {reason}, Message: {message}"
    if why:
        raise errors.invalid(served.kind.group, served.kind.kind, metadata["name"], [Cause("spec.vmiName", why)])


PLUGINS = (
    Plugin("Instancetype", frozenset({"virtualmachines.kubevirt.io"}), mutate=_infer, validate=_fits),
    Plugin("Migration", frozenset({"virtualmachineinstancemigrations.kubevirt.io"}), validate=_migratable),
)
