"""Which names of a CustomResourceDefinition are free: what kube-apiserver's naming controller decides, as admission.

Within a group no two definitions share a resource name (plural, singular, short) or a kind. One that comes second is
stored with NamesAccepted False and is not served until the name is free (`customresources` asks again then).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import errors

Object = dict[str, Any]
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
FREE = ("NoConflicts", "no conflicts found")


def _accept(_served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    """Write into the status which names are accepted, and whether the kind can be served."""
    if context.subresource:
        return
    group, name = new["spec"]["group"], new["metadata"]["name"]
    others = (c for c in lookup.all(CRDS) if c["spec"]["group"] == group and c["metadata"]["name"] != name)
    taken = dict(_conflicts(new["spec"]["names"], others))
    reason, message = next(iter(taken.values()), FREE)
    status = new["status"]
    established = not taken or _is_served(old)
    status["acceptedNames"] = {k: v for k, v in new["spec"]["names"].items() if k not in taken}
    _set(status, "NamesAccepted", not taken, reason, message)
    if established:
        _set(status, "Established", True, "InitialNamesAccepted", "the initial names have been accepted")
    else:
        _set(status, "Established", False, "NotAccepted", "not all names are accepted")


def is_established(crd: Object) -> bool:
    """Whether the kind is served."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _is_served(old: Object | None) -> bool:
    return old is not None and is_established(old)


def _conflicts(wanted: Object, others: Iterable[Object]) -> Iterator[tuple[str, tuple[str, str]]]:
    """(field, (reason, message)) of each name that another definition has."""
    resources, kinds = set[str](), set[str]()
    for other in others:
        names = (other.get("status") or {}).get("acceptedNames") or {}
        resources.update(names[f] for f in ("plural", "singular") if names.get(f))
        resources.update(names.get("shortNames") or ())
        kinds.update(names[f] for f in ("kind", "listKind") if names.get(f))
    for field, used in (("plural", resources), ("singular", resources), ("kind", kinds), ("listKind", kinds)):
        if (name := wanted.get(field)) in used:
            yield field, (f"{field[0].upper()}{field[1:]}Conflict", f'"{name}" is already in use')
    if short := [n for n in wanted.get("shortNames") or () if n in resources]:
        listed = ", ".join(f'"{n}" is already in use' for n in short)
        yield "shortNames", ("ShortNamesConflict", listed)


def _set(status: Object, kind: str, value: bool, reason: str, message: str) -> None:
    """A condition, its time kept where its status is."""
    wanted = {"type": kind, "status": str(value), "reason": reason, "message": message}
    conditions = []
    for condition in status.get("conditions") or []:
        if condition["type"] == kind and condition["status"] != wanted["status"]:
            conditions.append({**wanted, "lastTransitionTime": clock.timestamp()})
        elif condition["type"] == kind:
            conditions.append({**condition, **wanted})
        else:
            conditions.append(condition)
    status["conditions"] = conditions


def _definition_must_stay(
    served: Served, _new: Object, old: Object | None, _context: WriteContext, lookup: Lookup
) -> None:
    """While a definition goes, and its objects with it, no new ones come."""
    if old is not None or not served.custom:
        return
    definition = lookup(CRDS, "", served.kind.resource)
    if definition is not None and "deletionTimestamp" in definition["metadata"] and not served.kind.definition:
        raise errors.method_not_allowed("create not allowed while custom resource definition is terminating")


PLUGINS = (
    Plugin("CustomResourceNames", frozenset({CRDS}), validate=_accept),
    Plugin("CustomResourceDefinitionLifecycle", validate=_definition_must_stay),
)
