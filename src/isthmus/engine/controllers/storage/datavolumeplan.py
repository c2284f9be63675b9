"""From a DataVolume to the objects that fill it: its claim, and the worker Pod for sources that need one. Pure.

Names, labels and annotations are CDI's (v1beta1), because virtctl and people read them. The worker's arguments are in
`worker_arguments`; its volumes are `target`, `source` (a clone's), `credentials` and `certificates`.
"""

from dataclasses import dataclass
from typing import Any

from isthmus.engine.controllers.storage import binding
from isthmus.machinery import owners, quantity
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

WORKER_IMAGE = "isthmus.dev/worker"
ADOPTION = "cdi.kubevirt.io/allowClaimAdoption"
POD_PHASE = "cdi.kubevirt.io/storage.pod.phase"
POD_READY = "cdi.kubevirt.io/storage.pod.ready"
POD_RESTARTS = "cdi.kubevirt.io/storage.pod.restarts"
CONTENT_TYPE = "cdi.kubevirt.io/storage.contentType"
UPLOAD_TARGET = "cdi.kubevirt.io/storage.upload.target"
RETAIN_POD = "cdi.kubevirt.io/storage.pod.retainAfterCompletion"
MIB = 1024 * 1024
SOURCES = ("blank", "upload", "http", "registry", "pvc")
WITHOUT_WORKER = frozenset({"blank", "upload"})


class SourceError(Exception):
    """The source cannot be served. `reason` is for a condition, `str()` its message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Source:
    """What fills the volume: the kind of source and its fields."""

    kind: str
    fields: Object

    @property
    def has_worker(self) -> bool:
        """Whether a Pod does the work."""
        return self.kind not in WITHOUT_WORKER


def find_source(volume: Object, data_source: Object | None) -> Source:
    """The DataVolume's source; `data_source` is the DataSource that its `sourceRef` names. Raises SourceError."""
    spec = volume["spec"]
    namespace = volume["metadata"]["namespace"]
    given: Object = spec.get("source") or {}
    if reference := spec.get("sourceRef"):
        namespace = reference.get("namespace") or namespace
        if data_source is None:
            raise SourceError("SourceNotFound", f"DataSource {namespace}/{reference['name']} does not exist")
        given = at(data_source, "spec.source") or {}
    kind = next(iter(given), "")
    if kind not in SOURCES:
        known = ", ".join(SOURCES)
        raise SourceError(
            "SourceNotSupported", f"a DataVolume cannot be filled from {kind!r} here; it can from {known}"
        )
    fields = dict(given[kind] or {})
    if kind == "pvc":
        fields.setdefault("namespace", namespace)
    return Source(kind, fields)


def build_claim(volume: Object, source: Source, origin: Object | None, node: str | None) -> Object:
    """The PVC of a DataVolume. `origin`: the PVC that is cloned, `node`: where that lies."""
    metadata = volume["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations[CONTENT_TYPE] = volume["spec"].get("contentType") or "kubevirt"
    annotations |= _source_annotations(source)
    if node:
        annotations[binding.SELECTED_NODE] = node
    labels = dict(metadata.get("labels") or {})
    labels |= {"app": "containerized-data-importer", "app.kubernetes.io/managed-by": "cdi-controller"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owners.reference(volume)],
        },
        "spec": _claim_spec(volume["spec"], origin),
    }


def _claim_spec(spec: Object, origin: Object | None) -> Object:
    """`pvc` is taken literally, `storage` completed. Our volumes hold a disk of their whole size: nothing is added."""
    wanted: Object = dict(spec.get("pvc") or spec.get("storage") or {})
    size = at(wanted, "resources.requests.storage") or at(origin, "spec.resources.requests.storage")
    if not size:
        raise SourceError("SizeMissing", "spec.storage.resources.requests.storage is required for this source")
    wanted["resources"] = {"requests": {"storage": size}}
    wanted["accessModes"] = wanted.get("accessModes") or ["ReadWriteOnce"]
    wanted["volumeMode"] = wanted.get("volumeMode") or "Filesystem"
    return {k: v for k, v in wanted.items() if v not in (None, "")}


def _source_annotations(source: Source) -> dict[str, str]:
    if source.kind == "upload":
        return {UPLOAD_TARGET: "", POD_READY: "false", POD_PHASE: "Pending"}
    if source.kind in ("http", "registry"):
        prefix = "cdi.kubevirt.io/storage.import"
        return {
            f"{prefix}.source": source.kind,
            f"{prefix}.endpoint": source.fields.get("url", ""),
            POD_PHASE: "Pending",
        }
    if source.kind == "pvc":
        origin = f"{source.fields['namespace']}/{source.fields['name']}"
        return {"k8s.io/CloneRequest": origin, POD_PHASE: "Pending"}
    return {}


def worker_name(volume: Object, source: Source) -> str:
    """The worker Pod of a DataVolume."""
    prefix = "clone" if source.kind == "pvc" else "importer"
    return f"{prefix}-{volume['metadata']['name']}"[:253]


def build_worker(volume: Object, source: Source, source_claim: str = "") -> Object:
    """The Pod that fills the claim. `source_claim`: the PVC, in the same namespace, that a clone reads."""
    metadata = volume["metadata"]
    volumes = [{"name": "target", "persistentVolumeClaim": {"claimName": metadata["name"]}}]
    if source_claim:
        volumes.append({"name": "source", "persistentVolumeClaim": {"claimName": source_claim, "readOnly": True}})
    if secret := source.fields.get("secretRef"):
        volumes.append({"name": "credentials", "secret": {"secretName": secret}})
    if certificates := source.fields.get("certConfigMap"):
        volumes.append({"name": "certificates", "configMap": {"name": certificates}})
    mounts = [{"name": v["name"], "mountPath": f"/volumes/{v['name']}"} for v in volumes]
    worker = {
        "name": "worker",
        "image": WORKER_IMAGE,
        "args": worker_arguments(volume, source),
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": worker_name(volume, source),
            "namespace": metadata["namespace"],
            "labels": {"app": "containerized-data-importer", "cdi.kubevirt.io": "importer"},
            "ownerReferences": [owners.reference(volume)],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [worker],
            "volumes": volumes,
            **({"priorityClassName": c} if (c := volume["spec"].get("priorityClassName")) else {}),
        },
    }


def worker_arguments(volume: Object, source: Source) -> list[str]:
    """What the worker is told; it knows its volumes by name."""
    fields = source.fields
    if source.kind == "pvc":
        return ["clone", "--source", "source", "--target", "target"]
    arguments = [f"import-{source.kind}", "--url", fields.get("url") or "", "--target", "target"]
    if volume["spec"].get("contentType") == "archive":
        arguments += ["--content-type", "archive"]
    for header in fields.get("extraHeaders") or []:
        arguments += ["--header", header]
    for field, option in (("checksum", "--checksum"),):
        if fields.get(field):
            arguments += [option, fields[field]]
    if fields.get("insecureSkipVerify"):
        arguments.append("--insecure")
    if fields.get("secretRef"):
        arguments += ["--credentials", "credentials"]
    if fields.get("certConfigMap"):
        arguments += ["--certificates", "certificates"]
    if volume["spec"].get("preallocation"):
        arguments.append("--preallocate")
    return arguments


def alias_name(volume: Object) -> str:
    """The claim, and its PV, under which a clone reads a claim of another namespace."""
    return f"clone-source-{volume['metadata']['uid']}"


def build_alias(volume: Object, origin_volume: Object) -> tuple[Object, Object]:
    """A PV that shows the data of another one, and the claim for it in the DataVolume's namespace.

    Pods use claims of their own namespace only. The alias is never reclaimed (Retain): the data are the origin's.
    """
    name, namespace = alias_name(volume), volume["metadata"]["namespace"]
    spec = origin_volume["spec"]
    kept = {
        k: spec[k] for k in ("capacity", "volumeMode", "nodeAffinity", "local", "hostPath", "csi", "nfs") if k in spec
    }
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name}
    alias = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": kept
        | {"accessModes": ["ReadOnlyMany"], "persistentVolumeReclaimPolicy": "Retain", "storageClassName": ""}
        | {"claimRef": reference},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owners.reference(volume)]},
        "spec": {
            "storageClassName": "",
            "volumeName": name,
            "accessModes": ["ReadOnlyMany"],
            "volumeMode": spec.get("volumeMode") or "Filesystem",
            "resources": {"requests": dict(spec["capacity"])},
        },
    }
    return alias, claim


def clone_fits(origin: Object, claim: Object) -> bool:
    """Whether the target is at least as large as what is cloned."""
    size = at(origin, "spec.resources.requests.storage") or "0"
    return quantity.parse(at(claim, "spec.resources.requests.storage") or "0") >= quantity.parse(size)
