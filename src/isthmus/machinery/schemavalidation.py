"""Validation of a value against a schema node, compiled to closures, with kube-apiserver's words for what is wrong.

Each node becomes an `Entry`: the Python type that its value most often has, and what to look at below it. A valid value
builds no path and allocates nothing; a wrong one yields problems that are given their path from the leaf upward.
Wording and rules: kube-openapi, pkg/validation; apiextensions-apiserver, pkg/apiserver/{validation,schema/listtype}.
`x-kubernetes-validations` (CEL) are no part of this: they are a pass of their own over the same node and object, and
yield causes of the same type. Public form: `structuralschema`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

from isthmus.machinery import causes, formats
from isthmus.machinery.errors import Cause
from isthmus.machinery.pruning import Path, show_path
from isthmus.machinery.schema import Node

Problem = tuple[Path, Callable[[str], Cause]]
Problems = list[Problem]
Check = Callable[[Any], Problems | None]

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
_INTEGER_RANGES = {
    "int32": range(-(1 << 31), 1 << 31),
    "uint32": range(1 << 32),
    "uint64": range(1 << 64),
}
_INT64 = range(-(1 << 63), 1 << 63)


class Entry(NamedTuple):
    """How to check a value: `below` if its type is `kind` (None: nothing more to do), else `other`."""

    kind: type
    below: Check | None
    other: Check


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
        common = [*self._junctors(node), *_enumeration(node.raw)]
        by_type: dict[type, list[Check]] = {
            str: _string_checks(node.raw),
            int: _number_checks(node.raw),
            bool: [],
            list: self._list_checks(node),
            dict: self._object_checks(node, declared),
        }
        by_type[float] = by_type[int]
        allowed = {t for name in declared or _PYTHON_TYPES for t in _PYTHON_TYPES.get(name, ())}
        checks = {t: _all([*by_type[t], *common]) for t in by_type if t in allowed}
        nullable = node.nullable or not declared or "null" in node.raw.get("type", ())
        other = _other_types(checks, declared, nullable, str(node.raw.get("format", "")))
        usual = "string" if "string" in declared else declared[0] if declared else "object"
        kind = _PYTHON_TYPES[usual][0]
        return Entry(kind, checks.get(kind), other)

    def _list_checks(self, node: Node) -> list[Check]:
        out = _list_bounds(node.raw)
        if self.keyed_lists and node.list_type == "set":
            out.append(_unique_items)
        if self.keyed_lists and node.list_type == "map":
            out.append(_unique_keys(node.list_map_keys))
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
                    problems = _under(index, found, problems)
            return problems

        return check

    def _object_checks(self, node: Node, declared: Sequence[str]) -> list[Check]:
        raw = node.raw
        out = _property_bounds(raw)
        if node.property_names or node.additional is not None:
            named = bool(node.property_names)
            out.append(_fields(_Entries(node, self)) if named else self._map(node))
        required = tuple(raw.get("required", ()))
        if node.embedded_resource and declared:
            required = tuple(dict.fromkeys((*required, "apiVersion", "kind")))
        if required:
            out.append(_required(required))
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
                    problems = _under(key, found, problems)
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
            yield _any_of(branches["anyOf"])
        if "oneOf" in branches:
            yield _one_of(branches["oneOf"])
        if "allOf" in branches:
            yield _all_of(branches["allOf"])
        if isinstance(raw.get("not"), Mapping):
            yield _not(self._lazy(Node(raw["not"], definitions)))

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
                problems = _under(key, found, problems)
        return problems

    return check


def _under(step: str | int, found: Problems, into: Problems | None) -> Problems:
    problems: Problems = [((step, *path), make) for path, make in found]
    return problems if into is None else into + problems


def _here(make: Callable[[str], Cause]) -> Problems:
    return [((), make)]


def _all(checks: Sequence[Check]) -> Check | None:
    """One check out of several; every one of them reports."""
    if len(checks) <= 1:
        return checks[0] if checks else None

    def check(value: Any) -> Problems | None:
        problems: Problems | None = None
        for one in checks:
            if (found := one(value)) is not None:
                problems = found if problems is None else problems + found
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
        return _here(lambda path: _wrong_type(path, value, declared, format_))

    return other


def _wrong_type(path: str, value: Any, declared: Sequence[str], format_: str) -> Cause:
    actual, expected = _JSON_TYPES.get(value.__class__, "object"), ",".join(declared)
    if format_ and not isinstance(value, str | list) and value is not None:
        native = {int: "int64", float: "float64"}
        actual, expected = native.get(value.__class__, ""), format_
    return causes.type_invalid(path, actual, f'{path} in body must be of type {expected}: "{actual}"')


def _refuse(problem: str) -> Callable[[Any], Problems]:
    """A check's answer `Invalid value: <value>: <path> in body <problem>`."""
    return lambda value: _here(lambda path: causes.invalid(path, value, f"{path} in body {problem}"))


def _required(names: Sequence[str]) -> Check:
    wanted = frozenset(names)

    def check(value: Any) -> Problems | None:
        if value.keys() >= wanted:
            return None
        return [((name,), causes.required) for name in names if name not in value]

    return check


def _property_bounds(raw: Mapping[str, Any]) -> list[Check]:
    out: list[Check] = []
    if (least := raw.get("minProperties")) is not None:
        refuse = _refuse(f"should have at least {least} properties")
        out.append(lambda value: refuse(len(value)) if len(value) < least else None)
    if (most := raw.get("maxProperties")) is not None:
        out.append(lambda value: _too_many(len(value), most))
    return out


def _too_many(count: int, most: int) -> Problems | None:
    return _here(lambda path: causes.too_many(path, count, most)) if count > most else None


def _list_bounds(raw: Mapping[str, Any]) -> list[Check]:
    out: list[Check] = []
    if (least := raw.get("minItems")) is not None:
        refuse = _refuse(f"should have at least {least} items")
        out.append(lambda value: refuse(len(value)) if len(value) < least else None)
    if (most := raw.get("maxItems")) is not None:
        out.append(lambda value: _too_many(len(value), most))
    if raw.get("uniqueItems"):
        repeated = _refuse("shouldn't contain duplicates")
        out.append(lambda value: repeated("") if len({_identity(v) for v in value}) < len(value) else None)
    return out


def _identity(value: Any) -> Any:
    """Something hashable that is equal for equal JSON values only (1, 1.0 and true are three)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if value.__class__ is not str else value


def _repeated(identities: Sequence[Any]) -> list[int]:
    """The index of the second occurrence of each identity that occurs more than once."""
    seen: dict[Any, int] = {}
    out = []
    for index, identity in enumerate(identities):
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:
            out.append(index)
    return out


def _unique_items(value: Any) -> Problems | None:
    if len(value) <= 1:
        return None
    found = _repeated([_identity(item) for item in value])
    return [((i,), lambda path, i=i: causes.duplicate(path, value[i])) for i in found] or None  # type: ignore[misc]


def _unique_keys(names: Sequence[str]) -> Check:
    def keys(item: Any) -> dict[str, Any]:
        return {n: item[n] for n in names if n in item} if item else {}

    def check(value: Any) -> Problems | None:
        wrong = [i for i, item in enumerate(value) if item is not None and item.__class__ is not dict]
        if wrong:
            detail = "must be an object for an array of list-type map"
            return [((i,), lambda path, i=i: causes.invalid(path, value[i], detail)) for i in wrong]  # type: ignore[misc]
        if len(value) <= 1:
            return None
        found = _repeated([_key_identity(item or {}, names) for item in value])
        return [((i,), lambda path, i=i: causes.duplicate(path, keys(value[i]))) for i in found] or None  # type: ignore[misc]

    return check


def _key_identity(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    if len(names) == 1 and item.get(names[0]).__class__ is str:
        return item[names[0]]
    return orjson.dumps([(n, item[n]) for n in names if n in item])


def _string_checks(raw: Mapping[str, Any]) -> list[Check]:
    out: list[Check] = []
    if (least := raw.get("minLength")) is not None:
        short = _refuse(f"should be at least {least} chars long")
        out.append(lambda value: short(value) if len(value) < least else None)
    if (most := raw.get("maxLength")) is not None:
        out.append(lambda value: _here(lambda p: causes.too_long(p, most)) if len(value) > most else None)
    if pattern := raw.get("pattern"):
        out.append(_pattern(pattern))
    if (name := str(raw.get("format", ""))) and (is_valid := formats.find_format(name)) is not None:
        out.append(lambda value: None if is_valid(value) else _here(lambda p: _wrong_format(p, value, name)))
    return out


def _wrong_format(path: str, value: str, name: str) -> Cause:
    return causes.type_invalid(path, value, f"{path} in body must be of type {name}: {causes.show(value)}")


def pattern_matcher(pattern: str) -> Callable[[str], bool]:
    """Searches by a regular expression in time linear in the text, with the syntax of Go's RE2; ValueError if wrong.

    Python's own engine would let the pattern of a CRD stop the server.
    """
    options = jsonschema_rs.RegexOptions()
    is_valid: Callable[[str], bool] = jsonschema_rs.Draft202012Validator(
        {"pattern": pattern}, pattern_options=options
    ).is_valid
    return is_valid


def _pattern(pattern: str) -> Check:
    refuse = _refuse(f"should match '{pattern}'")
    try:
        matches = pattern_matcher(pattern)
    except ValueError as error:
        return _refuse(f"should match '{pattern}, but pattern is invalid: {error}'")
    return lambda value: None if matches(value) else refuse(value)


def _number_checks(raw: Mapping[str, Any]) -> list[Check]:
    out: list[Check] = []
    if (lowest := raw.get("minimum")) is not None:
        out.append(_minimum(lowest, bool(raw.get("exclusiveMinimum"))))
    if (highest := raw.get("maximum")) is not None:
        out.append(_maximum(highest, bool(raw.get("exclusiveMaximum"))))
    if factor := raw.get("multipleOf"):
        uneven = _refuse(f"should be a multiple of {causes.show(factor)}")
        out.append(lambda value: uneven(value) if value % factor else None)
    if raw.get("type") == "integer":
        out.append(_integer_range(str(raw.get("format", ""))))
    return out


def _minimum(lowest: float, exclusive: bool) -> Check:
    relation = "greater than" if exclusive else "greater than or equal to"
    refuse = _refuse(f"should be {relation} {causes.show(lowest)}")
    return lambda value: refuse(value) if value < lowest or (exclusive and value == lowest) else None


def _maximum(highest: float, exclusive: bool) -> Check:
    relation = "less than" if exclusive else "less than or equal to"
    refuse = _refuse(f"should be {relation} {causes.show(highest)}")
    return lambda value: refuse(value) if value > highest or (exclusive and value == highest) else None


def _integer_range(format_: str) -> Check:
    allowed = _INTEGER_RANGES.get(format_, _INT64)
    lowest, highest = allowed[0], allowed[-1]
    kind = f"integer with format {format_}" if format_ else "integer (default format)"

    def check(value: Any) -> Problems | None:
        if lowest <= value <= highest:
            return None
        return _here(lambda path: causes.invalid(path, value, f"Checked value must be of type {kind} in {path}"))

    return check


def _enumeration(raw: Mapping[str, Any]) -> list[Check]:
    if not (allowed := raw.get("enum")):
        return []
    identities = frozenset(map(_identity, allowed))
    shown = [v if isinstance(v, str) else causes.show(v) for v in allowed]

    def check(value: Any) -> Problems | None:
        if _identity(value) in identities:
            return None
        return _here(lambda path: causes.not_supported(path, value, shown))

    return [check]


def _junctor(message: str) -> Problems:
    return _here(lambda path: causes.invalid(path, "", f'"{path}" {message}'))


def _any_of(branches: Sequence[Check]) -> Check:
    def check(value: Any) -> Problems | None:
        failures = []
        for branch in branches:
            if (found := branch(value)) is None:
                return None
            failures.append(found)
        return _junctor("must validate at least one schema (anyOf)") + min(failures, key=len)

    return check


def _one_of(branches: Sequence[Check]) -> Check:
    def check(value: Any) -> Problems | None:
        results = [branch(value) for branch in branches]
        valid = results.count(None)
        if valid == 1:
            return None
        found = f"Found {valid} valid alternatives" if valid else "Found none valid"
        failures = [r for r in results if r is not None]
        best = min(failures, key=len) if failures and not valid else []
        return _junctor(f"must validate one and only one schema (oneOf). {found}") + best

    return check


def _all_of(branches: Sequence[Check]) -> Check:
    def check(value: Any) -> Problems | None:
        failures = [found for branch in branches if (found := branch(value)) is not None]
        if not failures:
            return None
        none = ". None validated" if len(failures) == len(branches) else ""
        return [*(p for f in failures for p in f), *_junctor(f"must validate all the schemas (allOf){none}")]

    return check


def _not(branch: Check) -> Check:
    return lambda value: None if branch(value) is not None else _junctor("must not validate the schema (not)")


def explain(problems: Problems | None) -> list[Cause]:
    """Problems with their paths filled in."""
    return [make(show_path(path)) for path, make in problems or ()]


KEYED = Compiler(keyed_lists=True)
UNKEYED = Compiler(keyed_lists=False)
