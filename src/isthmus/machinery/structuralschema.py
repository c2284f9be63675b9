"""What the API server does with an object and its schema: prune, default, validate.

Order of use on a write: `prune` or `prune_and_default` right after decoding, `validate` last, after admission;
`default` alone when a stored object is read under a schema that has gained defaults. The passes are compiled on first
use and kept on the `Node`s (see pruning and schemavalidation), so a caller keeps one Node per kind and version.
`check_structural` judges a schema that a user's CustomResourceDefinition brings.
"""

from typing import Any

from isthmus.machinery import celrules, pruning, schemavalidation, structuralcheck
from isthmus.machinery.errors import Cause
from isthmus.machinery.schema import Node

Object = dict[str, Any]

check_structural = structuralcheck.check_structural


def prune(obj: Object, node: Node) -> list[str]:
    """Drop from `obj`, in place, the fields that the schema does not name and the nulls that it does not allow.

    Returns the sorted paths of the unknown fields, for `fieldValidation=Strict|Warn`.
    """
    return _walk(pruning.PRUNE, obj, node)


def prune_and_default(obj: Object, node: Node) -> list[str]:
    """`prune` and `default` in one pass."""
    return _walk(pruning.BOTH, obj, node)


def default(obj: Object, node: Node) -> Object:
    """Fill in, in place, the defaults of fields that are absent or a null that the schema does not allow."""
    _walk(pruning.DEFAULT, obj, node)
    return obj


def _walk(compiler: pruning.Compiler, obj: Object, node: Node) -> list[str]:
    walk = compiler.walk(node)
    found = walk(obj) if walk is not None else None
    return sorted(map(pruning.show_path, found)) if found else []


def validate(obj: Any, node: Node, *, keyed_lists: bool = True, old: Any = None) -> list[Cause]:
    """Everything that is wrong with `obj`, which is to replace `old`; empty if nothing is.

    `keyed_lists` refuses repeated items in lists of type set and map, as Kubernetes does for custom resources; for
    built-in kinds it leaves that to the rules of each kind (a Pod may repeat a container port).
    """
    found, sites = examine(obj, node, keyed_lists=keyed_lists)
    return found if found or not sites else celrules.evaluate(sites, obj, old, node)


def examine(obj: Any, node: Node, *, keyed_lists: bool = True) -> tuple[list[Cause], list[celrules.Site]]:
    """What is wrong with the shape of `obj`, and the places whose rules (`celrules`) are still to be judged."""
    compiler = schemavalidation.KEYED if keyed_lists else schemavalidation.UNKEYED
    kind, below, other = compiler.entry(node)
    check = below if obj.__class__ is kind else other
    return schemavalidation.explain(check(obj) if check is not None else None)
