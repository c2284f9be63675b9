"""Brings an object into the shape of its schema: unknown fields, defaults, validation. Called by `storage`.

On an update only the top-level fields that are not the very values of the old object are looked at: a patch of an
annotation costs nothing for the spec. What was wrong before and is still the same is forgiven (KEP-4008, ratcheting).
"""

from typing import Any

from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import celrules, errors, structuralschema
from isthmus.machinery.schema import Node

Object = dict[str, Any]
# Rules that need all fields at once.
WHOLE = ("allOf", "anyOf", "oneOf", "not", "minProperties", "maxProperties", celrules.KEY)


def node_for(served: Served, context: WriteContext) -> Node | None:
    """The schema of the version in which the object was written; None where anything goes."""
    version = context.version if context.version in served.kind.versions else served.kind.storage_version
    return served.node(version)


def shape(served: Served, obj: Object, old: Object | None, context: WriteContext) -> None:
    """Prune and fill in defaults, in place: what decoding does, before any rule looks at the object.

    Unknown fields are refused (400, as kube-apiserver does), warned about or dropped, as `fieldValidation` says.
    """
    node = node_for(served, context)
    if node is None:
        return
    if old is None:
        unknown = structuralschema.prune_and_default(obj, node)
    else:
        part = {name: value for name, value in obj.items() if value is not old.get(name)}
        names = list(part)
        _default_old(old, names, node)
        unknown = structuralschema.prune_and_default(part, node)
        for name in names:
            if name in part:
                obj[name] = part[name]
            else:
                del obj[name]
    if (unknown or context.duplicates) and context.field_validation == "Strict":
        message = f'{served.kind.kind} in version "{context.version}" cannot be handled as a {served.kind.kind}: '
        raise errors.bad_request(f"{message}strict decoding error: {_strictly(served, unknown, context.duplicates)}")
    if unknown and context.field_validation == "Warn":
        context.warnings.extend(f'unknown field "{path}"' for path in unknown)


def _default_old(old: Object, names: list[str], node: Node) -> None:
    """What was stored before its kind had a default is compared as if it had it: an update by which a client changes
    nothing changes nothing, and is not refused for a field that may not change (kube-apiserver defaults what it reads).
    """
    before = {name: old[name] for name in names if name in old and name != "metadata"}
    if before:
        structuralschema.default(before, node)


def _strictly(served: Served, unknown: list[str], duplicates: list[str]) -> str:
    """The fields that strict decoding refuses, as kube-apiserver lists them: what is unknown is not a duplicate too,
    except in custom resources, where duplicates are found first."""
    if not served.custom:
        duplicates = [path for path in duplicates if path not in unknown]
    twice = [f'duplicate field "{path}"' for path in duplicates]
    strange = [f'unknown field "{path}"' for path in unknown]
    return ", ".join([*twice, *strange] if served.custom else [*strange, *twice])


def validate(served: Served, obj: Object, old: Object | None, context: WriteContext) -> list[errors.Cause]:
    """What is wrong with the object by its schema."""
    node = node_for(served, context)
    if node is None or (old is not None and _same_or_valid(obj, old, node, served)):
        return []
    keyed = not served.kind.builtin
    found, sites = structuralschema.examine(obj, node, keyed_lists=keyed)
    if found and old is not None:
        before = set(structuralschema.examine(old, node, keyed_lists=keyed)[0])
        found = [cause for cause in found if cause not in before]
    return found if found or not sites else celrules.evaluate(sites, obj, old, node)


def _same_or_valid(obj: Object, old: Object, node: Node, served: Served) -> bool:
    """Whether all that changed is valid. False may also mean: look at the whole to say what is wrong."""
    if not obj.keys() >= old.keys() or any(rule in node.raw for rule in WHOLE):
        return False
    for name, value in obj.items():
        if value is old.get(name):
            continue
        below = node.property(name)
        if below is None:
            return False
        found, sites = structuralschema.examine(value, below, keyed_lists=not served.kind.builtin)
        if found or sites:  # rules want to know the whole path
            return False
    return True
