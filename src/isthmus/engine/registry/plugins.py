"""The admission plugins, in their order."""

from typing import Any

from isthmus.engine.registry import (
    customresourcenames,
    featuregates,
    importadmission,
    kubevirtadmission,
    limitranger,
    presets,
    resourcequota,
    vmdefaults,
)
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategies import services
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors

Object = dict[str, Any]
SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
UNDELETABLE = ("default", "kube-system", "kube-public")


def _namespace_must_live(
    served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup
) -> None:
    """NamespaceLifecycle: objects are created in namespaces that are there and stay."""
    if old is not None or not served.kind.namespaced:
        return
    metadata = new["metadata"]
    namespace = lookup("namespaces", "", metadata["namespace"])
    if namespace is None:
        raise errors.not_found("", "namespaces", metadata["namespace"])
    if "deletionTimestamp" in namespace["metadata"]:
        why = f"unable to create new content in namespace {metadata['namespace']} because it is being terminated"
        error = errors.forbidden(served.kind.group, served.kind.plural, metadata["name"], why)
        error.details["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {metadata['namespace']} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise error


def _keep_own_namespaces(
    served: Served, old: Object, _old: Object | None, _context: WriteContext, _lookup: Lookup
) -> None:
    if old["metadata"]["name"] in UNDELETABLE:
        raise errors.forbidden("", served.kind.plural, old["metadata"]["name"], "this namespace may not be deleted")


def _service_addresses(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    """Addresses and node ports are given out once the Service is valid, so that a refused one takes none."""
    if context.subresource or (old is not None and new.get("spec") == old.get("spec")):
        return
    me = new["metadata"]["namespace"], new["metadata"]["name"]
    others = lambda: (  # noqa: E731
        o for o in lookup.all("services") if (o["metadata"]["namespace"], o["metadata"]["name"]) != me
    )
    if wrong := services.allocate(new, others):
        raise errors.invalid("", served.kind.kind, new["metadata"]["name"], wrong)


def _pod_priority(_served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> None:
    """Priority: the number behind priorityClassName, or that of the class for pods that name none."""
    if old is not None:
        return
    spec = new.setdefault("spec", {})
    name, resource = spec.get("priorityClassName"), "priorityclasses.scheduling.k8s.io"
    if name:
        found = lookup(resource, "", name)
        if found is None and name not in SYSTEM_PRIORITIES:
            why = f"no PriorityClass with name {name} was found"
            raise errors.forbidden("", "pods", new["metadata"].get("name", ""), why)
    else:
        found = next((c for c in lookup.all(resource) if c.get("globalDefault")), None)
        if found:
            spec["priorityClassName"] = found["metadata"]["name"]
    spec["priority"] = found.get("value", 0) if found else SYSTEM_PRIORITIES.get(name or "", 0)
    spec["preemptionPolicy"] = (found or {}).get("preemptionPolicy", "PreemptLowerPriority")


def _default_storage_class(
    _served: Served, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup
) -> None:
    """DefaultStorageClass: a claim that names no class gets the default one, the newest if there are several."""
    if old is not None or (new.get("spec") or {}).get("storageClassName") is not None:
        return
    classes = [c for c in lookup.all("storageclasses.storage.k8s.io") if _is_default(c)]
    if classes and isinstance(new.get("spec"), dict):
        newest = max(classes, key=lambda c: c["metadata"]["creationTimestamp"])
        new["spec"]["storageClassName"] = newest["metadata"]["name"]


def _is_default(storage_class: Object) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return bool(annotations.get("storageclass.kubernetes.io/is-default-class") == "true")


PLUGINS = (
    Plugin("NamespaceLifecycle", validate=_namespace_must_live),
    Plugin("NamespaceLifecycle", frozenset({"namespaces"}), validate_delete=_keep_own_namespaces),
    Plugin("ServiceAddresses", frozenset({"services"}), validate=_service_addresses),
    Plugin("Priority", frozenset({"pods"}), mutate=_pod_priority),
    Plugin("DefaultStorageClass", frozenset({"persistentvolumeclaims"}), mutate=_default_storage_class),
    *limitranger.PLUGINS,
    *customresourcenames.PLUGINS,
    *presets.PLUGINS,
    *kubevirtadmission.PLUGINS,
    *vmdefaults.PLUGINS,
    *featuregates.PLUGINS,
    *importadmission.PLUGINS,
    *resourcequota.PLUGINS,  # last, as a quota counts what all others have let through
)
