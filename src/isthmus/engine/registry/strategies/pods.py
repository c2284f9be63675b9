"""Pods: what a new one gets, and the little that may change in one that is there.

Source: Kubernetes, pkg/apis/core/v1/defaults.go and pkg/apis/core/validation (ValidatePodUpdate).
"""

from typing import Any

from isthmus.engine.registry.strategies import podspec
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
MIRROR = "kubernetes.io/config.mirror"  # annotation of a Pod that its node has made, not the API
MUTABLE_SHOWN = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative),`spec.tolerations` (only additions to existing tolerations)"  # noqa: E501
MUTABLE = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"}


def prepare(new: Object, old: Object | None, context: WriteContext) -> None:
    """Complete a new Pod; an update that does not know the node does not take it away."""
    if old is None:
        _complete(new)
    elif context.subresource == "" and new["spec"].get("nodeName") is None and old["spec"].get("nodeName"):
        new["spec"] = {**new["spec"], "nodeName": old["spec"]["nodeName"]}


def _complete(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": _qos_class(pod.get("spec") or {})}
    spec = pod.setdefault("spec", {})
    if MIRROR not in (pod["metadata"].get("annotations") or {}):  # a node's own Pod is nobody in the cluster
        spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = spec["serviceAccountName"]
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("tolerations", _default_tolerations())
    _request_limits(spec)
    podspec.complete(spec)


def _request_limits(spec: Object) -> None:
    """What a container may use and does not ask for, it asks for (pkg/apis/core/v1, SetDefaults_Pod)."""
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            resources = container.get("resources") or {}
            if limits := resources.get("limits"):
                container["resources"] = {**resources, "requests": {**limits, **(resources.get("requests") or {})}}


def _default_tolerations() -> list[Object]:
    """Five minutes on a node that is not ready or cannot be reached (DefaultTolerationSeconds)."""
    return [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]


def _qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort by the containers' requests and limits of CPU and memory."""
    resources = [c.get("resources") or {} for c in [*spec.get("initContainers", []), *spec.get("containers", [])]]
    asked = [(r.get("requests") or {}, r.get("limits") or {}) for r in resources]
    if not any(requests or limits for requests, limits in asked):
        return "BestEffort"
    guaranteed = all(
        limits.get(name) and requests.get(name, limits[name]) == limits[name]
        for requests, limits in asked
        for name in ("cpu", "memory")
    )
    return "Guaranteed" if guaranteed else "Burstable"


def validate(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    """The spec, and on an update that nothing but the mutable fields has changed in it."""
    if context.subresource or (old is not None and new["spec"] is old["spec"]):
        return []
    wrong = podspec.validate(new.get("spec") or {}, "spec")
    if old is not None and _fixed(new) != _fixed(old):
        detail = f"pod updates may not change fields other than {MUTABLE_SHOWN}"
        wrong.append(causes.forbidden("spec", detail))
    return wrong


def _fixed(pod: Object) -> Object:
    """What of the spec may never change."""
    kept = {k: v for k, v in pod["spec"].items() if k not in MUTABLE}
    for field in ("containers", "initContainers"):
        kept[field] = [{k: v for k, v in c.items() if k != "image"} for c in kept.get(field) or ()]
    return kept
