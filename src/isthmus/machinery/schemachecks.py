"""The checks that a schema makes on one value: of text, numbers, bounds, uniqueness, enumeration, logic.

Each constructor reads a node's raw schema and returns closures that answer None or the problems of a value, with a path
that `under` completes from the leaf upward. Wording: kube-openapi, pkg/validation. Put together by `schemavalidation`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonschema_rs
import orjson

from isthmus.machinery import causes, formats
from isthmus.machinery.errors import Cause
from isthmus.machinery.pruning import Path

Problem = tuple[Path, Callable[[str], Cause]]
Problems = list[Problem]
Check = Callable[[Any], Problems | None]

_INTEGER_RANGES = {
    "int32": range(-(1 << 31), 1 << 31),
    "uint32": range(1 << 32),
    "uint64": range(1 << 64),
}
_INT64 = range(-(1 << 63), 1 << 63)


def under(step: str | int, found: Problems, into: Problems | None) -> Problems:
    """Problems found at `step` of a value, given that step, after those that were found before."""
    problems: Problems = [((step, *path), make) for path, make in found]
    return problems if into is None else into + problems


def here(make: Callable[[str], Cause]) -> Problems:
    """One problem of the value itself."""
    return [((), make)]


def combine(checks: Sequence[Check]) -> Check | None:
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


def refuse_as(problem: str) -> Callable[[Any], Problems]:
    """A check's answer `Invalid value: <value>: <path> in body <problem>`."""
    return lambda value: here(lambda path: causes.invalid(path, value, f"{path} in body {problem}"))


def required(names: Sequence[str]) -> Check:
    """The fields that must be there."""
    wanted = frozenset(names)

    def check(value: Any) -> Problems | None:
        if value.keys() >= wanted:
            return None
        return [((name,), causes.required) for name in names if name not in value]

    return check


def property_bounds(raw: Mapping[str, Any]) -> list[Check]:
    """minProperties, maxProperties."""
    out: list[Check] = []
    if (least := raw.get("minProperties")) is not None:
        refuse = refuse_as(f"should have at least {least} properties")
        out.append(lambda value: refuse(len(value)) if len(value) < least else None)
    if (most := raw.get("maxProperties")) is not None:
        out.append(lambda value: _too_many(len(value), most))
    return out


def _too_many(count: int, most: int) -> Problems | None:
    return here(lambda path: causes.too_many(path, count, most)) if count > most else None


def list_bounds(raw: Mapping[str, Any]) -> list[Check]:
    """minItems, maxItems, uniqueItems."""
    out: list[Check] = []
    if (least := raw.get("minItems")) is not None:
        refuse = refuse_as(f"should have at least {least} items")
        out.append(lambda value: refuse(len(value)) if len(value) < least else None)
    if (most := raw.get("maxItems")) is not None:
        out.append(lambda value: _too_many(len(value), most))
    if raw.get("uniqueItems"):
        repeated = refuse_as("shouldn't contain duplicates")
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


def unique_items(value: Any) -> Problems | None:
    """Items of a list of type set: each once."""
    if len(value) <= 1:
        return None
    found = _repeated([_identity(item) for item in value])
    return [((i,), lambda path, i=i: causes.duplicate(path, value[i])) for i in found] or None  # type: ignore[misc]


def unique_keys(names: Sequence[str]) -> Check:
    """Items of a list of type map: objects, each with keys of its own."""

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


def string_checks(raw: Mapping[str, Any]) -> list[Check]:
    """minLength, maxLength, pattern, format."""
    out: list[Check] = []
    if (least := raw.get("minLength")) is not None:
        short = refuse_as(f"should be at least {least} chars long")
        out.append(lambda value: short(value) if len(value) < least else None)
    if (most := raw.get("maxLength")) is not None:
        out.append(lambda value: here(lambda p: causes.too_long(p, most)) if len(value) > most else None)
    if pattern := raw.get("pattern"):
        out.append(_pattern(pattern))
    if (name := str(raw.get("format", ""))) and (is_valid := formats.find_format(name)) is not None:
        out.append(lambda value: None if is_valid(value) else here(lambda p: _wrong_format(p, value, name)))
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
    refuse = refuse_as(f"should match '{pattern}'")
    try:
        matches = pattern_matcher(pattern)
    except ValueError as error:
        return refuse_as(f"should match '{pattern}, but pattern is invalid: {error}'")
    return lambda value: None if matches(value) else refuse(value)


def number_checks(raw: Mapping[str, Any]) -> list[Check]:
    """minimum, maximum, multipleOf, the range of the format."""
    out: list[Check] = []
    if (lowest := raw.get("minimum")) is not None:
        out.append(_minimum(lowest, bool(raw.get("exclusiveMinimum"))))
    if (highest := raw.get("maximum")) is not None:
        out.append(_maximum(highest, bool(raw.get("exclusiveMaximum"))))
    if factor := raw.get("multipleOf"):
        uneven = refuse_as(f"should be a multiple of {causes.show(factor)}")
        out.append(lambda value: uneven(value) if value % factor else None)
    if raw.get("type") == "integer":
        out.append(_integer_range(str(raw.get("format", ""))))
    return out


def _minimum(lowest: float, exclusive: bool) -> Check:
    relation = "greater than" if exclusive else "greater than or equal to"
    refuse = refuse_as(f"should be {relation} {causes.show(lowest)}")
    return lambda value: refuse(value) if value < lowest or (exclusive and value == lowest) else None


def _maximum(highest: float, exclusive: bool) -> Check:
    relation = "less than" if exclusive else "less than or equal to"
    refuse = refuse_as(f"should be {relation} {causes.show(highest)}")
    return lambda value: refuse(value) if value > highest or (exclusive and value == highest) else None


def _integer_range(format_: str) -> Check:
    allowed = _INTEGER_RANGES.get(format_, _INT64)
    lowest, highest = allowed[0], allowed[-1]
    kind = f"integer with format {format_}" if format_ else "integer (default format)"

    def check(value: Any) -> Problems | None:
        if lowest <= value <= highest:
            return None
        return here(lambda path: causes.invalid(path, value, f"Checked value must be of type {kind} in {path}"))

    return check


def enumeration(raw: Mapping[str, Any]) -> list[Check]:
    """enum."""
    if not (allowed := raw.get("enum")):
        return []
    identities = frozenset(map(_identity, allowed))
    shown = [v if isinstance(v, str) else causes.show(v) for v in allowed]

    def check(value: Any) -> Problems | None:
        if _identity(value) in identities:
            return None
        return here(lambda path: causes.not_supported(path, value, shown))

    return [check]


def _junctor(message: str) -> Problems:
    return here(lambda path: causes.invalid(path, "", f'"{path}" {message}'))


def any_of(branches: Sequence[Check]) -> Check:
    """At least one branch must be valid; else the shortest list of failures is told."""

    def check(value: Any) -> Problems | None:
        failures = []
        for branch in branches:
            if (found := branch(value)) is None:
                return None
            failures.append(found)
        return _junctor("must validate at least one schema (anyOf)") + min(failures, key=len)

    return check


def one_of(branches: Sequence[Check]) -> Check:
    """Exactly one branch must be valid."""

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


def all_of(branches: Sequence[Check]) -> Check:
    """Every branch must be valid."""

    def check(value: Any) -> Problems | None:
        failures = [found for branch in branches if (found := branch(value)) is not None]
        if not failures:
            return None
        none = ". None validated" if len(failures) == len(branches) else ""
        return [*(p for f in failures for p in f), *_junctor(f"must validate all the schemas (allOf){none}")]

    return check


def negation(branch: Check) -> Check:
    """The branch of `not` must be invalid."""
    return lambda value: None if branch(value) is not None else _junctor("must not validate the schema (not)")
