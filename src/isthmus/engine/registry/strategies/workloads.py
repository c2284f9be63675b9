"""Deployments and their kin: defaults of their rollouts and templates, selectors that fit, fields that stay.

Sources: Kubernetes, pkg/apis/apps/v1/defaults.go and pkg/apis/apps/validation, pkg/apis/core/v1/defaults.go.
"""

from typing import Any

from isthmus.engine.registry.strategies import immutable, podspec
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes, labels
from isthmus.machinery.errors import Cause, StatusError
from isthmus.machinery.pruning import copy

Object = dict[str, Any]

# resource -> (the field of its rollout, what a RollingUpdate is without parameters)
ROLLOUTS: dict[str, tuple[str, Object]] = {
    "deployments.apps": ("strategy", {"maxSurge": "25%", "maxUnavailable": "25%"}),
    "daemonsets.apps": ("updateStrategy", {"maxSurge": 0, "maxUnavailable": 1}),
    "statefulsets.apps": ("updateStrategy", {"partition": 0}),
}
FIXED: dict[str, tuple[str, ...]] = {
    "deployments.apps": ("spec.selector",),
    "replicasets.apps": ("spec.selector",),
    "daemonsets.apps": ("spec.selector",),
    "statefulsets.apps": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"),
}
CONTROLLERS = "replicationcontrollers"


def new_spec(new: Object, old: Object | None) -> Object | None:
    """The spec as a value of its own, put into `new`; None if it is the old one or there is none."""
    spec = new.get("spec")
    if not isinstance(spec, dict) or (old is not None and spec is old.get("spec")):
        return None
    made: Object = copy(spec) if old is not None else spec
    new["spec"] = made
    return made


def complete_template(template: Object | None) -> None:
    """The defaults of a pod template's spec, in place."""
    if isinstance(spec := (template or {}).get("spec"), dict):
        podspec.complete(spec)


def validate_template(spec: Object, *, restart: tuple[str, ...] = ("Always",)) -> list[Cause]:
    """What is wrong with `spec.template`."""
    pod, path = (spec.get("template") or {}).get("spec") or {}, "spec.template.spec"
    wrong = podspec.validate(pod, path)
    if pod.get("restartPolicy", "Always") not in restart:
        wrong.append(causes.not_supported(f"{path}.restartPolicy", pod["restartPolicy"], restart))
    return wrong


def validate_selector(spec: Object, *, required: bool = True) -> list[Cause]:
    """A workload's selector is there and finds the pods that its own template makes."""
    selector, path = spec.get("selector"), "spec.selector"
    if not selector:
        if not required:
            return []
        empty = causes.invalid(path, {}, "empty selector is invalid for deployment")
        return [causes.required(path)] if selector is None else [empty]
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    try:
        chosen = labels.from_label_selector(selector) if required else labels.from_set(selector)
    except StatusError:
        return labels.validate_label_selector(selector, path)
    if not chosen.matches(given):
        detail = "`selector` does not match template `labels`"
        return [causes.invalid("spec.template.metadata.labels", given, detail)]
    return []


def _strategy(resource: str) -> Strategy:
    rollout = ROLLOUTS.get(resource)

    def prepare(new: Object, old: Object | None, _context: WriteContext) -> None:
        if (spec := new_spec(new, old)) is None:
            return
        complete_template(spec.get("template"))
        if rollout is not None and isinstance(how := spec.get(rollout[0]), dict) and how.get("type") == "RollingUpdate":
            how.setdefault("rollingUpdate", dict(rollout[1]))

    def validate(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
        if context.subresource or (old is not None and new["spec"] is old["spec"]):
            return []
        wrong = immutable.changed(FIXED[resource], new, old) if old is not None else []
        return wrong + validate_selector(new["spec"]) + validate_template(new["spec"])

    return Strategy(prepare=prepare, validate=validate)


def _prepare_controller(new: Object, old: Object | None, _context: WriteContext) -> None:
    """A ReplicationController without a selector takes its template's labels, and so do its own labels."""
    if (spec := new_spec(new, old)) is None:
        return
    complete_template(spec.get("template"))
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if given:
        spec["selector"] = spec.get("selector") or dict(given)
        new["metadata"]["labels"] = new["metadata"].get("labels") or dict(given)


def _validate_controller(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if context.subresource or (old is not None and new["spec"] is old["spec"]):
        return []
    return validate_selector(new["spec"], required=False) + validate_template(new["spec"])


for _resource in FIXED:
    register(_resource, _strategy(_resource))
register(CONTROLLERS, Strategy(prepare=_prepare_controller, validate=_validate_controller))
