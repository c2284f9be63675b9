"""Validation of a value against a schema node, compiled to closures, with kube-apiserver's words for what is wrong.

Each node becomes an `Entry`: the Python type that its value most often has, and what to look at below it. A valid value
builds no path and allocates nothing; a wrong one yields problems that are given their path from the leaf upward.
Wording and rules: kube-openapi, pkg/validation; apiextensions-apiserver, pkg/apiserver/{validation,schema/listtype}.
Places that have `x-kubernetes-validations` (CEL) are named on the way (`Place`), to be judged by `celrules` once
everything else is right. Public form: `structuralschema`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from isthmus.machinery import causes, celrules, schemachecks
from isthmus.machinery.errors import Cause
from isthmus.machinery.pruning import show_path
from isthmus.machinery.schema import Node
from isthmus.machinery.schemachecks import Check, Problems

_JSON_TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (float, int),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


class Entry(NamedTuple):
    """How to check a value: `below` if its type is `kind` (None: nothing more to do), else `other`."""

    kind: type
    below: Check | None
    other: Check


class Place:
    """Stands among the problems of a value for a place whose rules are still to be judged."""

    def __init__(self, value: Any, node: Node) -> None:
        self.value, self.node = value, node

    def __call__(self, _path: str) -> Cause:
        """A place is no problem: see `explain`. Never called."""
        raise AssertionError


class Compiler:
    """Compiles nodes and keeps the result on them. `keyed_lists`: refuse repeated keys in lists of type set and map."""

    def __init__(self, *, keyed_lists: bool) -> None:
        self.keyed_lists = keyed_lists
        self._slot = f"_validation_{keyed_lists}"

    def entry(self, node: Node) -> Entry:
        """The entry of a node."""
        kept = vars(node)
        if self._slot not in kept:
            kept[self._slot] = self._compile(node)
        entry: Entry = kept[self._slot]
        return entry

    def check(self, node: Node) -> Check:
        """The whole check of a node's value, for a caller that does not look at its type first."""
        kind, below, other = self.entry(node)

        def check(value: Any) -> Problems | None:
            if value.__class__ is kind:
                return below(value) if below is not None else None
            return other(value)

        return check

    def _compile(self, node: Node) -> Entry:
        declared = _declared_types(node)
        common = [*self._junctors(node), *schemachecks.enumeration(node.raw)]
        by_type: dict[type, list[Check]] = {
            str: schemachecks.string_checks(node.raw),
            int: schemachecks.number_checks(node.raw),
            bool: [],
            list: self._list_checks(node),
            dict: self._object_checks(node, declared),
        }
        by_type[float] = by_type[int]
        allowed = {t for name in declared or _PYTHON_TYPES for t in _PYTHON_TYPES.get(name, ())}
        if node.raw.get(celrules.KEY):
            common.append(lambda value: [((), Place(value, node))])
        checks = {t: schemachecks.combine([*by_type[t], *common]) for t in by_type if t in allowed}
        nullable = node.nullable or not declared or "null" in node.raw.get("type", ())
        other = _other_types(checks, declared, nullable, str(node.raw.get("format", "")))
        usual = "string" if "string" in declared else declared[0] if declared else "object"
        kind = _PYTHON_TYPES[usual][0]
        return Entry(kind, checks.get(kind), other)

    def _list_checks(self, node: Node) -> list[Check]:
        out = schemachecks.list_bounds(node.raw)
        if self.keyed_lists and node.list_type == "set":
            out.append(schemachecks.unique_items)
        if self.keyed_lists and node.list_type == "map":
            out.append(schemachecks.unique_keys(node.list_map_keys))
        if node.items is not None:
            out.append(self._items(node.items))
        return out

    def _items(self, items: Node) -> Check:
        compiled: list[Entry] = []  # on the first visit: a schema may be recursive

        def check(value: Any) -> Problems | None:
            if not compiled:
                compiled.append(self.entry(items))
            kind, below, other = compiled[0]
            problems: Problems | None = None
            for index, item in enumerate(value):
                if item.__class__ is kind:
                    found = below(item) if below is not None else None
                else:
                    found = other(item)
                if found is not None:
                    problems = schemachecks.under(index, found, problems)
            return problems

        return check

    def _object_checks(self, node: Node, declared: Sequence[str]) -> list[Check]:
        raw = node.raw
        out = schemachecks.property_bounds(raw)
        if node.property_names or node.additional is not None:
            named = bool(node.property_names)
            out.append(_fields(_Entries(node, self)) if named else self._map(node))
        required = tuple(raw.get("required", ()))
        if node.embedded_resource and declared:
            required = tuple(dict.fromkeys((*required, "apiVersion", "kind")))
        if required:
            out.append(schemachecks.required(required))
        return out

    def _map(self, node: Node) -> Check:
        values = node.additional
        assert values is not None
        compiled: list[Entry] = []

        def check(value: Any) -> Problems | None:
            if not compiled:
                compiled.append(self.entry(values))
            kind, below, other = compiled[0]
            problems: Problems | None = None
            for key, item in value.items():
                if item.__class__ is kind:
                    found = below(item) if below is not None else None
                else:
                    found = other(item)
                if found is not None:
                    problems = schemachecks.under(key, found, problems)
            return problems

        return check

    def _junctors(self, node: Node) -> Iterable[Check]:
        """anyOf, oneOf, allOf, not."""
        raw, definitions = node.raw, node._definitions
        branches = {
            name: [self._lazy(Node(b, definitions)) for b in raw[name]]
            for name in ("anyOf", "oneOf", "allOf")
            if raw.get(name)
        }
        if node.int_or_string:  # the alternatives that say so are in the declared types
            branches = {name: checks for name, checks in branches.items() if not _types_only(raw[name])}
        if "anyOf" in branches:
            yield schemachecks.any_of(branches["anyOf"])
        if "oneOf" in branches:
            yield schemachecks.one_of(branches["oneOf"])
        if "allOf" in branches:
            yield schemachecks.all_of(branches["allOf"])
        if isinstance(raw.get("not"), Mapping):
            yield schemachecks.negation(self._lazy(Node(raw["not"], definitions)))

    def _lazy(self, node: Node) -> Check:
        compiled: list[Check] = []

        def check(value: Any) -> Problems | None:
            if not compiled:
                compiled.append(self.check(node))
            return compiled[0](value)

        return check


class _Entries(dict[str, Entry]):
    """Field name -> entry. Named fields are compiled when first met; names that are not in the schema are not kept."""

    def __init__(self, node: Node, compiler: Compiler) -> None:
        super().__init__()
        self._node, self._compiler = node, compiler

    def __missing__(self, name: str) -> Entry:
        node = self._node.property(name)
        if node is None:
            return _ANYTHING
        entry = self._compiler.entry(node)
        if name in self._node.property_names:
            self[name] = entry
        return entry


_ANYTHING = Entry(str, None, lambda _value: None)


def _fields(entries: _Entries) -> Check:
    def check(value: Any) -> Problems | None:
        problems: Problems | None = None
        for key, item in value.items():
            kind, below, other = entries[key]
            if item.__class__ is kind:
                if below is None:
                    continue
                found = below(item)
            else:
                found = other(item)
            if found is not None:
                problems = schemachecks.under(key, found, problems)
        return problems

    return check


def _declared_types(node: Node) -> tuple[str, ...]:
    """The types that a schema states. A branch of anyOf states none, even when it has properties."""
    if node.int_or_string:
        branches = [raw for name in ("anyOf", "oneOf") if (raw := node.raw.get(name)) and _types_only(raw)]
        return tuple(str(b["type"]) for b in branches[0]) if branches else ("integer", "string")
    declared = node.raw.get("type") or ()
    return tuple(t for t in ([declared] if isinstance(declared, str) else declared) if t != "null")


def _types_only(branches: Any) -> bool:
    return all(set(b) == {"type"} and isinstance(b["type"], str) for b in branches)


def _other_types(checks: Mapping[type, Check | None], declared: Sequence[str], nullable: bool, format_: str) -> Check:
    """What is done with a value that has not the usual type: another allowed type, null, or a wrong one."""
    whole_floats = "integer" in declared and "number" not in declared

    def other(value: Any) -> Problems | None:
        kind = value.__class__
        if kind in checks:
            below = checks[kind]
            return below(value) if below is not None else None
        if value is None and nullable:
            return None
        if whole_floats and kind is float and value.is_integer():
            below = checks[int]
            return below(int(value)) if below is not None else None
        return schemachecks.here(lambda path: _wrong_type(path, value, declared, format_))

    return other


def _wrong_type(path: str, value: Any, declared: Sequence[str], format_: str) -> Cause:
    actual, expected = _JSON_TYPES.get(value.__class__, "object"), ",".join(declared)
    if format_ and not isinstance(value, str | list) and value is not None:
        native = {int: "int64", float: "float64"}
        actual, expected = native.get(value.__class__, ""), format_
    return causes.type_invalid(path, actual, f'{path} in body must be of type {expected}: "{actual}"')


def explain(problems: Problems | None) -> tuple[list[Cause], list[celrules.Site]]:
    """Problems with their paths filled in, and the places that have rules."""
    found, sites = [], []
    for path, make in problems or ():
        if isinstance(make, Place):
            sites.append(celrules.Site(path, make.value, make.node))
        else:
            found.append(make(show_path(path)))
    return found, sites


KEYED = Compiler(keyed_lists=True)
UNKEYED = Compiler(keyed_lists=False)
