"""Field selectors: `?fieldSelector=metadata.name=a,status.phase!=Running`.

Grammar, escapes (a backslash before a backslash, comma or equals sign) and messages are Kubernetes' (apimachinery,
pkg/fields/selector.go). A field that the object lacks counts as the empty string. Which fields a kind can be selected
by is the kind's data: `check_supported`.
Called by: list, watch and deletecollection handlers, informers.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from isthmus.machinery import errors

Fields = Mapping[str, str]
Predicate = Callable[[Fields], bool]

METADATA_FIELDS: Final = ("metadata.name", "metadata.namespace")
"""What every kind can be selected by."""

_split_terms = re.compile(r"(?:[^\\,]|\\.|\\$)+", re.DOTALL).findall
_split_term = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL).fullmatch
_escapable = re.compile(r"([\\,=])")
_ESCAPE = re.compile(r"\\(.?)|([,=])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`field` must be `value`, or must not."""

    field: str
    equal: bool
    value: str

    def __str__(self) -> str:
        return self.field + ("=" if self.equal else "!=") + _escapable.sub(r"\\\1", self.value)


def _predicate(requirement: Requirement) -> Predicate:
    field, value = requirement.field, requirement.value
    if requirement.equal:
        return lambda fields: fields.get(field, "") == value
    return lambda fields: fields.get(field, "") != value


def _compile(requirements: tuple[Requirement, ...]) -> Predicate:
    if not requirements:
        return lambda _fields: True
    predicates = tuple(_predicate(r) for r in requirements)
    if len(predicates) == 1:
        return predicates[0]

    def every(fields: Fields) -> bool:
        for predicate in predicates:  # noqa: SIM110 - a generator would double the cost of each call
            if not predicate(fields):
                return False
        return True

    return every


class FieldSelector:
    """A conjunction of requirements. Immutable; `matches(values by field)` is compiled."""

    __slots__ = ("matches", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = ()) -> None:
        self.requirements = tuple(requirements)
        self.matches: Predicate = _compile(self.requirements)

    @property
    def empty(self) -> bool:
        """It selects everything."""
        return not self.requirements

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that `matches` looks at: all that a caller must extract from an object."""
        return tuple(dict.fromkeys(r.field for r in self.requirements))

    def exact(self, field: str) -> str | None:
        """The value that `field` must have, if one is demanded: a selector of one name is a get, not a scan."""
        return next((r.value for r in self.requirements if r.equal and r.field == field), None)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return f"FieldSelector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)


def _unescape(value: str) -> str:
    def one(found: re.Match[str]) -> str:
        escaped, bare = found[1], found[2]
        if bare:
            raise errors.bad_request(f"invalid field selector: unescaped character in value: {bare}")
        if escaped not in ("\\", ",", "=") or not escaped:
            raise errors.bad_request(f"invalid field selector: invalid escape sequence: \\{escaped}")
        return str(escaped)

    return _ESCAPE.sub(one, value)


def _requirement(term: str, text: str) -> Requirement:
    if (found := _split_term(term)) is None:
        raise errors.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
    return Requirement(found[1], found[2] != "!=", _unescape(found[3]))


@lru_cache(maxsize=1024)
def parse(text: str) -> FieldSelector:
    """The selector that a text means; StatusError 400 if it means none."""
    return FieldSelector(_requirement(term, text) for term in sorted(_split_terms(text)))


def check_supported(selector: FieldSelector, supported: Collection[str]) -> None:
    """StatusError 400 for a field that the kind cannot be selected by; metadata.name and .namespace always can."""
    for field in selector.fields:
        if field not in METADATA_FIELDS and field not in supported:
            raise errors.bad_request(f"field label not supported: {field}")
