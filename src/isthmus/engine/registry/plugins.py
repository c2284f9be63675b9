"""The admission plugins, in their order."""

from typing import Any

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors

Object = dict[str, Any]
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


PLUGINS = (
    Plugin("NamespaceLifecycle", validate=_namespace_must_live),
    Plugin("NamespaceLifecycle", frozenset({"namespaces"}), validate_delete=_keep_own_namespaces),
)
