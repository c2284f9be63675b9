"""LimitRanger: what the LimitRanges of a namespace give to Pods that say nothing, and what they forbid.

An admission plugin; the ratio of limit to request is not looked at. Sources: Kubernetes,
plugin/pkg/admission/limitranger, whose messages these are, and pkg/apis/core/v1 (SetDefaults_LimitRangeItem).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, quantity
from isthmus.machinery.quantity import Quantity

Object = dict[str, Any]
LIMIT_RANGES, PODS, CLAIMS = "limitranges", "pods", "persistentvolumeclaims"
ANNOTATION = "kubernetes.io/limit-ranger"
GIVEN = (("requests", "defaultRequest", "request"), ("limits", "default", "limit"))


def _complete_range(new: Object, _old: Object | None, _context: WriteContext) -> None:
    """What a container is given if nothing else is said: the greatest limit, and as request that or the least one."""
    spec = new.get("spec") or {}
    new["spec"] = {**spec, "limits": [_complete_item(item) for item in spec.get("limits") or ()]}


def _complete_item(item: Object) -> Object:
    if item.get("type") != "Container":
        return item
    default = {**(item.get("max") or {}), **(item.get("default") or {})}
    request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
    return {**item} | ({"default": default} if default else {}) | ({"defaultRequest": request} if request else {})


register(LIMIT_RANGES, Strategy(prepare=_complete_range, generation=False))


def _items(lookup: Lookup, namespace: str, kind: str) -> list[Object]:
    ranges = (r for r in lookup.all(LIMIT_RANGES) if r["metadata"]["namespace"] == namespace)
    return [item for r in ranges for item in r["spec"].get("limits") or () if item.get("type") == kind]


def _give(_served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> None:
    """Fill in what the containers of a new Pod do not say, and tell so in an annotation."""
    if old is not None or not (items := _items(lookup, new["metadata"]["namespace"], "Container")):
        return
    told = [
        f"{', '.join(given)} for {word} {container['name']}"
        for field, word in (("initContainers", "init container"), ("containers", "container"))
        for container in new["spec"].get(field) or ()
        if (given := list(_give_container(container, items)))
    ]
    if told:
        annotations = new["metadata"].get("annotations") or {}
        new["metadata"]["annotations"] = annotations | {ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}"}


def _give_container(container: Object, items: Iterable[Object]) -> Iterator[str]:
    resources = container["resources"] = dict(container.get("resources") or {})
    for field, source, word in GIVEN:
        said = resources.get(field) or {}
        given = {name: value for item in items for name, value in (item.get(source) or {}).items() if name not in said}
        if given:
            resources[field] = {**given, **said}
            yield from (f"{name} {word}" for name in sorted(given))


def _check_pod(_served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> None:
    """Raises StatusError 403 with everything that is out of bounds."""
    if old is not None:
        return
    namespace, spec = new["metadata"]["namespace"], new["spec"]
    containers = [c.get("resources") or {} for f in ("initContainers", "containers") for c in spec.get(f) or ()]
    per_container = _items(lookup, namespace, "Container")
    wrong = [why for item in per_container for c in containers for why in _check(item, c, "Container")]
    for item in _items(lookup, namespace, "Pod"):
        wrong += _check(item, _sum(spec.get("containers") or ()), "Pod")
    _refuse(new, PODS, wrong)


def _check_claim(_served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> None:
    if old is not None and old["spec"] is new["spec"]:
        return
    wrong: list[str] = []
    for item in _items(lookup, new["metadata"]["namespace"], "PersistentVolumeClaim"):
        asked = {"requests": (new["spec"].get("resources") or {}).get("requests") or {}}
        wrong += _check(item, {**asked, "limits": asked["requests"]}, "PersistentVolumeClaim")
    _refuse(new, CLAIMS, wrong)


def _refuse(new: Object, plural: str, wrong: list[str]) -> None:
    if wrong:
        why = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        raise errors.forbidden("", plural, new["metadata"].get("name", ""), why)


def _sum(containers: Iterable[Object]) -> Object:
    """What the containers of a Pod ask for and may use together."""
    out: dict[str, dict[str, Quantity]] = {"requests": {}, "limits": {}}
    for container in containers:
        for field, total in out.items():
            for name, value in ((container.get("resources") or {}).get(field) or {}).items():
                total[name] = total[name] + quantity.parse(value) if name in total else quantity.parse(value)
    return {field: {name: str(value) for name, value in total.items()} for field, total in out.items()}


def _check(item: Object, resources: Object, what: str) -> Iterator[str]:
    """What of one container, Pod or claim is outside one item of a LimitRange."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    noun = "limit" if what != "PersistentVolumeClaim" else "request"
    for name, least in (item.get("min") or {}).items():
        asked = requests.get(name)
        if asked is None:
            yield f"minimum {name} usage per {what} is {least}.  No request is specified"
        elif quantity.parse(asked) < quantity.parse(least):
            yield f"minimum {name} usage per {what} is {least}, but request is {asked}"
    for name, most in (item.get("max") or {}).items():
        allowed = limits.get(name)
        if allowed is None:
            yield f"maximum {name} usage per {what} is {most}.  No {noun} is specified"
        elif quantity.parse(allowed) > quantity.parse(most):
            yield f"maximum {name} usage per {what} is {most}, but {noun} is {allowed}"


PLUGINS = (
    Plugin("LimitRanger", frozenset({PODS}), mutate=_give, validate=_check_pod),
    Plugin("LimitRanger", frozenset({CLAIMS}), validate=_check_claim),
)
