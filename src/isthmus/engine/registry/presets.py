"""VirtualMachineInstancePresets: parts of a domain that instances get by their labels. Deprecated, still KubeVirt's.

An admission plugin that completes instances at their creation, before any default is filled in. What an instance says
itself stands: a preset that says otherwise is passed over where it conflicts; presets that conflict with each other
refuse the instance. Source: KubeVirt 1.9, virt-api's preset mutator.
"""

import copy
import itertools
from typing import Any

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, labels
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at, put

Object = dict[str, Any]
PRESETS = "virtualmachineinstancepresets.kubevirt.io"
EXCLUDED = "virtualmachineinstancepresets.admission.kubevirt.io/exclude"
DEPRECATED = "kubevirt.io/v1 VirtualMachineInstancePresets is now deprecated and will be removed in v2."
EXCLUSIVE = ("cpu", "firmware", "clock", "features", "devices.watchdog", "ioThreadsPolicy")
FIELDS = ("resources.requests", "memory", *EXCLUSIVE)  # KubeVirt passes over memory, which its own example gives


def find_conflicts(preset: Object, domain: Object) -> list[str]:
    """What two domains say differently, one text a field."""
    found = [
        f"spec.resources.requests[{key}]: {value} != {other}"
        for key, value in (at(preset, "resources.requests") or {}).items()
        if (other := (at(domain, "resources.requests") or {}).get(key, value)) != value
    ]
    for field in EXCLUSIVE:
        one, two = at(preset, field), at(domain, field)
        if one is not None and two is not None and one != two:
            found.append(f"spec.{field}: {one} != {two}")
    return found


def merge(preset: Object, domain: Object) -> bool:
    """Give `domain`, in place, the parts that it lacks. Whether it now says something that the preset says."""
    applied = False
    for field in FIELDS:
        if (value := at(preset, field)) in (None, {}):
            continue
        if at(domain, field) is None:
            put(domain, field, copy.deepcopy(value))
        applied = applied or at(domain, field) == value
    return applied


def _apply(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    metadata = new["metadata"]
    if old is not None or (metadata.get("annotations") or {}).get(EXCLUDED) == "true":
        return
    wanted = [preset for preset in lookup.all(PRESETS) if _matches(preset, metadata)]
    if not wanted:
        return
    conflicts = [
        f"presets '{one['metadata']['name']}' and '{two['metadata']['name']}' conflict: {', '.join(found)}"
        for two, one in itertools.combinations(wanted, 2)
        if (found := find_conflicts(_domain(one), _domain(two)))
    ]
    if conflicts:
        message = f"VirtualMachinePresets cannot be applied due to conflicts: {'; '.join(conflicts)}"
        raise errors.invalid(served.kind.group, served.kind.kind, metadata.get("name", ""), [Cause("spec", message)])
    for preset in wanted:
        if merge(_domain(preset), new["spec"].setdefault("domain", {})):
            notes = {f"virtualmachinepreset.kubevirt.io/{preset['metadata']['name']}": "kubevirt.io/v1"}
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **notes}
            if DEPRECATED not in context.warnings:
                context.warnings.append(DEPRECATED)


def _domain(preset: Object) -> Object:
    return at(preset, "spec.domain") or {}


def _matches(preset: Object, metadata: Object) -> bool:
    if preset["metadata"].get("namespace") != metadata.get("namespace"):
        return False
    return labels.from_label_selector(at(preset, "spec.selector") or {}).matches(metadata.get("labels") or {})


PLUGINS = (Plugin("Presets", frozenset({"virtualmachineinstances.kubevirt.io"}), mutate=_apply),)
