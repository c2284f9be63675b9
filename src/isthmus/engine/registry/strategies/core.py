"""Namespaces, Secrets, Pods, PersistentVolumes and their claims, ConfigMaps, Nodes, Events."""

import base64
from typing import Any

from isthmus.engine.registry.strategies import immutable, podspec
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import causes, names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
IMMUTABLE = "field is immutable"
MAX_DATA = 1024 * 1024  # bytes of a Secret's or ConfigMap's values together
# type of a Secret -> the keys that its data must have (pkg/apis/core/validation, ValidateSecret)
SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


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
        status_metadata=True,
    ),
)


def _secret(new: Object, _old: Object | None, _context: WriteContext) -> None:
    given = new.get("stringData")
    if given is None or (isinstance(given, dict) and all(isinstance(text, str) for text in given.values())):
        new.pop("stringData", None)
        if given:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in given.items()}
            new["data"] = (new.get("data") or {}) | encoded
    new.setdefault("type", "Opaque")


def _immutable_data(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    """`immutable: true` freezes data and itself."""
    if old is None or not old.get("immutable"):
        return []
    changed = [f for f in ("immutable", "data", "binaryData") if new.get(f) != old.get(f)]
    return [Cause(f, f"Forbidden: {IMMUTABLE} when `immutable` is set") for f in changed]


def _validate_secret(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    wrong, data, size = _immutable_data(new, old, context), new.get("data") or {}, 0
    for key, value in data.items():
        wrong += [causes.invalid(f"data[{key}]", key, c) for c in names.config_key(key)]
        try:
            size += len(base64.b64decode(value or "", validate=True))
        except ValueError:
            wrong.append(causes.invalid(f"data[{key}]", causes.OMITTED, "must be base64"))
    if size > MAX_DATA:
        wrong.append(causes.too_long("data", MAX_DATA))
    wrong += [causes.required(f"data[{key}]") for key in SECRET_KEYS.get(new.get("type", ""), ()) if key not in data]
    if old is not None and new.get("type") != old.get("type"):
        wrong.append(causes.invalid("type", new.get("type"), IMMUTABLE))
    return wrong


register("secrets", Strategy(prepare=_secret, validate=_validate_secret, generation=False))


def _validate_configmap(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    keys = [(field, key) for field, given in (("data", data), ("binaryData", binary)) for key in given]
    wrong = [causes.invalid(f"{field}[{key}]", key, c) for field, key in keys for c in names.config_key(key)]
    twice = "duplicate of key present in binaryData"
    wrong += [causes.invalid(f"data[{key}]", key, twice) for key in data if key in binary]
    size = sum(len(text.encode()) for text in data.values()) + sum(len(text or "") * 3 // 4 for text in binary.values())
    if size > MAX_DATA:
        wrong.append(causes.too_long("", MAX_DATA))
    return wrong + _immutable_data(new, old, context)


register("configmaps", Strategy(validate=_validate_configmap, generation=False))


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
        _request_limits(spec)
        podspec.complete(spec)
    elif context.subresource == "" and new["spec"].get("nodeName") is None and old["spec"].get("nodeName"):
        new["spec"] = {**new["spec"], "nodeName": old["spec"]["nodeName"]}


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


POD_MUTABLE_SHOWN = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative),`spec.tolerations` (only additions to existing tolerations)"  # noqa: E501
POD_MUTABLE = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"}


def _validate_pod(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if context.subresource or (old is not None and new["spec"] is old["spec"]):
        return []
    wrong = podspec.validate(new.get("spec") or {}, "spec")
    if old is not None:

        def fixed(obj: Object) -> Object:
            kept = {k: v for k, v in obj["spec"].items() if k not in POD_MUTABLE}
            for field in ("containers", "initContainers"):
                kept[field] = [{k: v for k, v in c.items() if k != "image"} for c in kept.get(field) or ()]
            return kept

        if fixed(new) != fixed(old):
            wrong.append(
                Cause(
                    "spec",
                    f"Forbidden: pod updates may not change fields other than {POD_MUTABLE_SHOWN}",
                    "FieldValueForbidden",
                )
            )
    return wrong


register("pods", Strategy(prepare=_pod, validate=_validate_pod, graceful=True, status_metadata=True))


def _claim(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is None:
        new["status"] = {"phase": "Pending"}
        new["spec"] = {"volumeMode": "Filesystem", **(new.get("spec") or {})}


CLAIM_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def _validate_claim(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    spec = new["spec"]
    if old is None:
        missing = [] if spec.get("accessModes") else ["spec.accessModes"]
        asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        missing += [] if asked else ["spec.resources[storage]"]
        return [causes.required(field, "at least 1 access mode is required" * ("Modes" in field)) for field in missing]
    if context.subresource or spec is old["spec"]:
        return []
    fixed = []
    for one in (spec, old["spec"]):
        kept = {k: v for k, v in one.items() if k not in ("resources", "volumeAttributesClassName")}
        for name in ("volumeName", "storageClassName"):
            if not old["spec"].get(name):
                kept.pop(name, None)  # a controller fills these in, once
        fixed.append(kept)
    return [causes.forbidden("spec", CLAIM_FIXED)] if fixed[0] != fixed[1] else []


VOLUME_SOURCES = ("csi", "hostPath", "iscsi", "fc", "local", "nfs", "rbd", "cephfs")


def _volume(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is None:
        new["status"] = {"phase": "Pending"}
        defaults = {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"}
        new["spec"] = defaults | (new.get("spec") or {})


def _validate_volume(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    if old is None:
        fields = [f for f in ("accessModes", "capacity") if not new["spec"].get(f)]
        return [causes.required(f"spec.{f}") for f in fields]
    sources = [{k: o["spec"][k] for k in VOLUME_SOURCES if k in o["spec"]} for o in (new, old)]
    if sources[0] != sources[1]:
        path = "spec.persistentvolumesource"
        return [causes.forbidden(path, f"{path} is immutable after creation")]
    return immutable.changed(("spec.volumeMode",), new, old)


register(
    "persistentvolumeclaims",
    Strategy(prepare=_claim, validate=_validate_claim, generation=False, status_metadata=True),
)
register(
    "persistentvolumes",
    Strategy(prepare=_volume, validate=_validate_volume, generation=False, status_metadata=True),
)
register("nodes", Strategy(generation=False, keeps_status=True, status_metadata=True))


def _event(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is None and not new.get("firstTimestamp") and not new.get("eventTime"):
        new["firstTimestamp"] = new["lastTimestamp"] = clock.timestamp()


register("events", Strategy(prepare=_event, generation=False))
