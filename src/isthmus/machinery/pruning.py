"""Dropping what a schema does not name, dropping nulls that mean "absent", and filling in defaults: one compiled pass.

A node is compiled once, on its first visit, into a closure that walks a value; a clean value costs a dictionary look-up
a field and allocates nothing. A path is put together only where something was dropped, from the leaf upward.
Semantics: apiextensions-apiserver, pkg/apiserver/schema/{pruning,defaulting}. Public form: `structuralschema`.
"""

from collections.abc import Callable
from typing import Any

import orjson

from isthmus.machinery.schema import Node

Path = tuple[str | int, ...]
Dropped = list[Path]
Walk = Callable[[Any], Dropped | None]

_META = ("apiVersion", "kind", "metadata")
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def copy(value: Any) -> Any:
    """A JSON value that shares nothing with `value`."""
    return orjson.loads(orjson.dumps(value)) if isinstance(value, dict | list) else value


def show_path(path: Path) -> str:
    """`("spec", "ports", 0, "name")` as `spec.ports[0].name`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def _unknown(_value: Any) -> Dropped | None:
    """Stands in a table of fields for one that the schema does not name. Never called."""
    raise AssertionError


class Compiler:
    """One of the passes (with or without pruning and defaulting): compiles nodes and keeps the result on them."""

    def __init__(self, *, prune: bool, default: bool) -> None:
        self.prune, self.default = prune, default
        self._slot = f"_pruning_{prune}_{default}"

    def walk(self, node: Node) -> Walk | None:
        """The walk of a node's value; None where there is nothing to do but at the value itself."""
        kept = vars(node)
        if self._slot not in kept:
            kept[self._slot] = self._compile(node)
        walk: Walk | None = kept[self._slot]
        return walk

    def _compile(self, node: Node) -> Walk | None:
        if node.type == "array":
            return self._list(node)
        if node.type == "object":
            return self._map(node) if self._is_map(node) else _object(_Fields(node, self))
        return None

    def _is_map(self, node: Node) -> bool:
        return node.additional is not None and not node.property_names

    def _list(self, node: Node) -> Walk | None:
        if (items := node.items) is None:
            return None
        below: list[Walk | None] = []  # compiled on the first visit: a schema may be recursive
        make = _default_maker(items, self) if self.default and items.has_default else None
        if items.type not in ("array", "object") and make is None:
            return None

        def walk(value: Any) -> Dropped | None:
            if value.__class__ is not list:
                return None
            if not below:
                below.append(self.walk(items))
            item_walk = below[0]
            dropped: Dropped | None = None
            for index, item in enumerate(value):
                if item is None:
                    if make is not None and not items.nullable:
                        value[index] = make()
                elif item_walk is not None and (found := item_walk(item)) is not None:
                    dropped = _under(index, found, dropped)
            return dropped

        return walk

    def _map(self, node: Node) -> Walk:
        """A map from any key to one schema: labels, resource lists."""
        values = node.additional
        assert values is not None
        make = _default_maker(values, self) if self.default and values.has_default else None
        leaf = values.type not in ("array", "object")
        keep_null = values.nullable or values.preserve_unknown_fields or "type" not in values.raw

        def walk(value: Any) -> Dropped | None:
            if value.__class__ is not dict:
                return None
            if None in value.values() and not keep_null:
                for key in [k for k, item in value.items() if item is None]:
                    if make is None:
                        del value[key]
                    else:
                        value[key] = make()
            if leaf or (item_walk := self.walk(values)) is None:
                return None
            dropped: Dropped | None = None
            for key, item in value.items():
                if (found := item_walk(item)) is not None:
                    dropped = _under(key, found, dropped)
            return dropped

        return walk


class _Fields(dict[str, Walk | None]):
    """Field name -> its walk, None for a leaf, `_unknown`. Named fields are compiled when first met."""

    def __init__(self, node: Node, compiler: Compiler) -> None:
        super().__init__()
        self._node, self._compiler = node, compiler
        self.nullable: set[str] = set()
        self.defaults = self._defaults() if compiler.default else ()
        if node.embedded_resource:
            self.update(apiVersion=None, kind=None, metadata=self._object_meta())

    def __missing__(self, name: str) -> Walk | None:
        node = self._node.property(name)
        if node is None:
            return _unknown if self._compiler.prune and not self._node.preserve_unknown_fields else _anything
        walk = self._compiler.walk(node)
        if name in self._node.property_names:
            if node.nullable or ("type" not in node.raw and not node.int_or_string):
                self.nullable.add(name)
            self[name] = walk
        return walk

    def _object_meta(self) -> Walk | None:
        """The metadata of an embedded object is pruned as any object's, where its definition is known."""
        definitions = self._node._definitions
        return (
            self._compiler.walk(Node(definitions[_OBJECT_META], definitions)) if _OBJECT_META in definitions else None
        )

    def _defaults(self) -> tuple[tuple[str, Callable[[], Any]], ...]:
        nodes = ((name, self._node.property(name)) for name in sorted(self._node.property_names))
        return tuple((name, _default_maker(n, self._compiler)) for name, n in nodes if n is not None and n.has_default)


def _anything(_value: Any) -> Dropped | None:
    return None


def _object(fields: _Fields) -> Walk:
    nullable, defaults = fields.nullable, fields.defaults

    def walk(value: Any) -> Dropped | None:
        if value.__class__ is not dict:
            return None
        dropped: Dropped | None = None
        gone: list[str] | None = None
        for key, item in value.items():
            below = fields[key]
            if below is None:
                if item is None and key not in nullable:
                    gone = [key] if gone is None else [*gone, key]
            elif below is _unknown:
                gone = [key] if gone is None else [*gone, key]
                dropped = _under(key, [()], dropped)
            elif item is None:
                if key not in nullable and below is not _anything:
                    gone = [key] if gone is None else [*gone, key]
            elif (found := below(item)) is not None:
                dropped = _under(key, found, dropped)
        if gone is not None:
            for key in gone:
                del value[key]
        for name, make in defaults:
            if name not in value:
                value[name] = make()
        return dropped

    return walk


def _under(step: str | int, found: Dropped, into: Dropped | None) -> Dropped:
    paths = [(step, *path) for path in found]
    return paths if into is None else into + paths


def _default_maker(node: Node, compiler: Compiler) -> Callable[[], Any]:
    """Makes a fresh copy of a node's default, itself filled in by the defaults below it."""
    value = node.default
    if not isinstance(value, dict | list):
        return lambda: value
    encoded = orjson.dumps(value)

    def make() -> Any:
        made = orjson.loads(encoded)
        if (walk := compiler.walk(node)) is not None:
            walk(made)
        return made

    return make


PRUNE = Compiler(prune=True, default=False)
DEFAULT = Compiler(prune=False, default=True)
BOTH = Compiler(prune=True, default=True)
