"""What KubeVirt's webhooks decide by looking at other objects: instance types and preferences of a VM, the VMI of a
migration. Admission plugins (see `plugins`); messages are virt-api's.
"""

from typing import Any

from isthmus.engine.registry import instancetypes
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategies import vminetwork, vmispec
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, instancetype, instancetypeinference
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
MIGRATIONS = "virtualmachineinstancemigrations.kubevirt.io"
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
    """The instance type and preference do not conflict with the VM, and what comes of all three is valid.

    One that is not there is no reason to refuse: it may come before the VM is started, which waits for it.
    """
    spec = new["spec"]
    if context.subresource or not (spec.get("instancetype") or spec.get("preference")):
        return
    if new["metadata"].get("deletionTimestamp") or (old is not None and spec == old.get("spec")):
        return
    found = {which: _find(new, which, lookup) for which in instancetypes.CLUSTER_SCOPED}
    if wrong := _conflicts(new, found):
        raise errors.invalid(served.kind.group, served.kind.kind, new["metadata"]["name"], wrong)


def _find(vm: Object, which: str, lookup: Lookup) -> Object | None:
    if _captured(vm, which):
        return None
    try:
        return instancetypes.find_spec(vm, which, lookup)
    except errors.StatusError:
        return None


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
    if vm["spec"].get("instancetype") and found["instancetype"] is None:
        return []  # what it will give is not known here: its revision holds it, or it is still to come
    return vmispec.validate(_with_bindings(expansion.vm["spec"]["template"]["spec"], vm), "spec.template.spec")


def _with_bindings(spec: Object, vm: Object) -> Object:
    """An expanded spec whose pod network is a default one gets the default binding, if the preference gave none."""
    before = (vm["spec"]["template"]["spec"].get("domain") or {}).get("devices") or {}
    devices = spec["domain"].get("devices") or {}
    if before.get("interfaces") or not devices.get("interfaces"):
        return spec
    bound = [i if vminetwork.is_bound(i) else {**i, "masquerade": {}} for i in devices["interfaces"]]
    return {**spec, "domain": {**spec["domain"], "devices": {**devices, "interfaces": bound}}}


def _migratable(_served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> None:
    """A migration is of a VMI that is there, lives, can move and is not moving yet (the VMIM create admitter)."""
    if old is not None:
        return
    name, namespace = new["spec"]["vmiName"], new["metadata"]["namespace"]
    vmi = lookup(VMIS, namespace, name)
    if vmi is None:
        raise errors.bad_request(f'the VMI "{namespace}/{name}" does not exist')
    status = vmi.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        raise errors.bad_request("Cannot migrate VMI in finalized state.")
    decentralized = new["spec"].get("sendTo") is not None or new["spec"].get("receive") is not None
    for condition in status.get("conditions") or ():
        if condition.get("type") != "LiveMigratable" or condition.get("status") != "False":
            continue
        reason, message = condition.get("reason", ""), condition.get("message", "")
        if not (decentralized and reason == "DisksNotLiveMigratable"):
            raise errors.bad_request(f"Cannot migrate VMI, Reason: {reason}, Message: {message}")
    for other in lookup.all(MIGRATIONS):
        in_flight = (other.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        if in_flight and (other["metadata"]["namespace"], other["spec"]["vmiName"]) == (namespace, name):
            uid = other["metadata"]["uid"]
            why = f"Active migration job ({uid}) is currently already in progress for VMI {name}."
            raise errors.bad_request(f"in-flight migration detected. {why}")


PLUGINS = (
    Plugin("Instancetype", frozenset({"virtualmachines.kubevirt.io"}), mutate=_infer, validate=_fits),
    Plugin("Migration", frozenset({MIGRATIONS}), validate=_migratable),
)
