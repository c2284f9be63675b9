"""Brings an object into the shape of its schema: unknown fields, defaults, validation. Called by `storage`."""

from typing import Any

from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, structuralschema

Object = dict[str, Any]


def conform(served: Served, obj: Object, context: WriteContext) -> list[errors.Cause]:
    """Prune, default and validate `obj` in place; what is wrong comes back as causes.

    Unknown fields are refused (400, as kube-apiserver does), warned about or dropped, as `fieldValidation` says.
    """
    node = served.node(served.kind.storage_version)
    if node is None:
        return []
    unknown = structuralschema.prune_and_default(obj, node)
    if unknown and context.field_validation == "Strict":
        listing = ", ".join(f'unknown field "{path}"' for path in unknown)
        name = obj["metadata"].get("name", "")
        message = f'{served.kind.kind} in version "{context.version}" cannot be handled as a {served.kind.kind}: '
        raise errors.bad_request(f"{message}strict decoding error: {listing}" + (f" (object {name})" if name else ""))
    if unknown and context.field_validation == "Warn":
        context.warnings.extend(f'unknown field "{path}"' for path in unknown)
    return structuralschema.validate(obj, node, keyed_lists=not served.kind.builtin)
