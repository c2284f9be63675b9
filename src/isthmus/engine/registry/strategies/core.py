"""Namespaces, Secrets, Pods, Services, PersistentVolumes and their claims, ConfigMaps, Nodes, Events."""

import base64
from typing import Any

from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
IMMUTABLE = "field is immutable"


def _namespace(new: Object, old: Object | None, context: WriteContext) -> None:
    spec = new.get("spec") or {}
    if old is None:
        new["spec"] = {"finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
        labels = new["metadata"].get("labels") or {}
        new["metadata"]["labels"] = labels | {"kubernetes.io/metadata.name": new["metadata"]["name"]}
    elif context.subresource != "finalize":
        new["spec"] = old.get("spec", {})
    elif not spec.get("finalizers"):
        new["spec"] = {}


def _namespace_waits(obj: Object) -> bool:
    return bool((obj.get("spec") or {}).get("finalizers"))


def _mark_terminating(obj: Object) -> None:
    obj.setdefault("status", {})["phase"] = "Terminating"


register(
    "namespaces",
    Strategy(
        name_check=names.dns1123_label,
        prepare=_namespace,
        waits=_namespace_waits,
        mark_deleted=_mark_terminating,
        generation=False,
    ),
)


def _secret(new: Object, _old: Object | None, _context: WriteContext) -> None:
    for key, text in (new.pop("stringData", None) or {}).items():
        data = new.get("data") or {}
        new["data"] = data | {key: base64.b64encode(str(text).encode()).decode()}
    new.setdefault("type", "Opaque")


def _immutable_data(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    """`immutable: true` freezes data and itself."""
    if old is None or not old.get("immutable"):
        return []
    changed = [f for f in ("immutable", "data", "binaryData") if new.get(f) != old.get(f)]
    return [Cause(f, f"Forbidden: {IMMUTABLE} when `immutable` is set") for f in changed]


def _validate_secret(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    causes = _immutable_data(new, old, context)
    for key, value in (new.get("data") or {}).items():
        try:
            base64.b64decode(value or "", validate=True)
        except ValueError:
            causes.append(Cause(f"data[{key}]", "Invalid value: must be base64"))
    if old is not None and new.get("type") != old.get("type"):
        causes.append(Cause("type", f'Invalid value: "{new.get("type")}": {IMMUTABLE}'))
    return causes


register("secrets", Strategy(prepare=_secret, validate=_validate_secret, generation=False))
register("configmaps", Strategy(validate=_immutable_data, generation=False))


def _pod(new: Object, old: Object | None, context: WriteContext) -> None:
    if old is None:
        new["status"] = {"phase": "Pending", "qosClass": _qos_class(new.get("spec") or {})}
        spec = new.setdefault("spec", {})
        spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = spec["serviceAccountName"]
        spec.setdefault("enableServiceLinks", True)
        spec.setdefault("priority", 0)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("tolerations", _default_tolerations())
    elif context.subresource == "" and new["spec"].get("nodeName") is None and old["spec"].get("nodeName"):
        new["spec"]["nodeName"] = old["spec"]["nodeName"]


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


POD_MUTABLE = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"}


def _validate_pod(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    spec = new.get("spec") or {}
    causes = []
    if not spec.get("containers"):
        causes.append(Cause("spec.containers", "Required value", "FieldValueRequired"))
    if old is not None and context.subresource == "":

        def fixed(obj: Object) -> Object:
            images = [{k: v for k, v in c.items() if k != "image"} for c in obj["spec"].get("containers", [])]
            return {k: v for k, v in obj["spec"].items() if k not in POD_MUTABLE} | {"containers": images}

        if fixed(new) != fixed(old):
            causes.append(
                Cause("spec", f"Forbidden: pod updates may not change fields other than {sorted(POD_MUTABLE)}")
            )
    return causes


register("pods", Strategy(prepare=_pod, validate=_validate_pod, graceful=True))


def _phase(phase: str) -> Any:
    def prepare(new: Object, old: Object | None, _context: WriteContext) -> None:
        if old is None:
            new["status"] = {"phase": phase}

    return prepare


register("persistentvolumeclaims", Strategy(prepare=_phase("Pending"), generation=False))
register("persistentvolumes", Strategy(prepare=_phase("Pending"), generation=False))


def _service(new: Object, _old: Object | None, _context: WriteContext) -> None:
    spec = new.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    new.setdefault("status", {"loadBalancer": {}})


register("services", Strategy(name_check=names.dns1035_label, prepare=_service, generation=False))
register("nodes", Strategy(generation=False))


def _event(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is None and not new.get("firstTimestamp") and not new.get("eventTime"):
        new["firstTimestamp"] = new["lastTimestamp"] = clock.timestamp()


register("events", Strategy(prepare=_event, generation=False))
