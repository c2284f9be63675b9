"""Label selectors: the text form of `?labelSelector=` and the object form `metav1.LabelSelector`.

A selector is compiled once into a closure, `Selector.matches`, because the hub calls it for every event and watcher.
The grammar and the messages are Kubernetes' (apimachinery, pkg/labels/selector.go). A text that does not parse is a
`StatusError` 400. Called by: list, watch and deletecollection handlers, informers, controllers, the scheduler.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from isthmus.machinery import causes, errors, names

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]


class Operator(StrEnum):
    """How a requirement compares; the value is its spelling in a selector's text."""

    EQUALS = "="
    DOUBLE_EQUALS = "=="
    NOT_EQUALS = "!="
    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    DOES_NOT_EXIST = "!"
    GREATER_THAN = ">"
    LESS_THAN = "<"


_EQUALITY = (Operator.EQUALS, Operator.DOUBLE_EQUALS)
_SETS = (Operator.IN, Operator.NOT_IN)
_NUMERIC = (Operator.GREATER_THAN, Operator.LESS_THAN)
_BINARY: Final = {o.value: o for o in Operator if o not in (Operator.EXISTS, Operator.DOES_NOT_EXIST)}
_OPERATORS_SHOWN = "in, notin, =, ==, !=, gt, lt"
_is_integer = re.compile(r"[+-]?[0-9]{1,19}").fullmatch
_INT64 = range(-(1 << 63), 1 << 63)


def _integer(text: str) -> int | None:
    number = int(text) if _is_integer(text) else None
    return number if number is not None and number in _INT64 else None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One comparison of a selector. `values` is sorted and without repetition."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case Operator.IN | Operator.NOT_IN:
                # Nothing between the parentheses would be no value; a comma stands between empty ones.
                return f"{self.key} {self.operator} ({','.join(self.values) or ','})"
        return f"{self.key}{self.operator}{self.values[0]}"


def _predicate(requirement: Requirement) -> Predicate:
    key, operator = requirement.key, requirement.operator
    value = requirement.values[0] if requirement.values else ""
    allowed = frozenset(requirement.values)
    match operator:
        case Operator.EQUALS | Operator.DOUBLE_EQUALS:
            return lambda labels: labels.get(key) == value
        case Operator.NOT_EQUALS:
            return lambda labels: labels.get(key) != value
        case Operator.IN:
            return lambda labels: labels.get(key) in allowed
        case Operator.NOT_IN:
            return lambda labels: labels.get(key) not in allowed
        case Operator.EXISTS:
            return lambda labels: key in labels
        case Operator.DOES_NOT_EXIST:
            return lambda labels: key not in labels
    return _numeric_predicate(key, operator is Operator.GREATER_THAN, int(value))


def _numeric_predicate(key: str, greater: bool, limit: int) -> Predicate:
    def compare(labels: Labels) -> bool:
        number = _integer(labels.get(key, ""))
        return number is not None and (number > limit if greater else number < limit)

    return compare


def _compile(requirements: tuple[Requirement, ...]) -> Predicate:
    if not requirements:
        return lambda _labels: True
    if len(requirements) == 1:
        return _predicate(requirements[0])
    if all(r.operator in _EQUALITY for r in requirements):
        pairs = frozenset((r.key, r.values[0]) for r in requirements)
        return lambda labels: labels.items() >= pairs
    predicates = tuple(_predicate(r) for r in requirements)

    def every(labels: Labels) -> bool:
        for predicate in predicates:  # noqa: SIM110 - a generator would double the cost of each call
            if not predicate(labels):
                return False
        return True

    return every


class Selector:
    """A conjunction of requirements, in the order of their keys. Immutable; `matches(labels)` is compiled."""

    __slots__ = ("matches", "requirements")

    def __init__(self, requirements: Iterable[Requirement], *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.matches: Predicate = (lambda _labels: False) if nothing else _compile(self.requirements)

    @property
    def empty(self) -> bool:
        """It selects everything."""
        return not self.requirements and self is not NOTHING

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return f"Selector({str(self)!r})" if self is not NOTHING else "NOTHING"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector) or (self is NOTHING) is not (other is NOTHING):
            return False
        return self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)


NOTHING: Final = Selector((), nothing=True)
"""Selects no object: what a missing LabelSelector means."""
EVERYTHING: Final = Selector(())


def _check(requirement: Requirement) -> list[errors.Cause]:
    """What is wrong with a requirement (labels.NewRequirement)."""
    values = requirement.values
    found = [causes.invalid("key", requirement.key, "; ".join(c)) for c in [names.label_key(requirement.key)] if c]
    if requirement.operator in _SETS and not values:
        found.append(causes.invalid("values", [], "for 'in', 'notin' operators, values set can't be empty"))
    if requirement.operator in _NUMERIC and _integer(values[0]) is None:
        found.append(causes.invalid("values[0]", values[0], "for 'Gt', 'Lt' operators, the value must be an integer"))
    for index, value in enumerate(values):
        if complaints := names.label_value(value):
            found.append(causes.invalid(f"values[{index}][{requirement.key}]", value, "; ".join(complaints)))
    return found


def _require(requirement: Requirement) -> Requirement:
    if found := _check(requirement):
        texts = [f"{c.field}: {c.message}" for c in found]
        raise _unparsable(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return requirement


def _unparsable(why: str) -> errors.StatusError:
    return errors.bad_request(f"unable to parse requirement: {why}")


# An identifier is any run of other characters; whether it is a label is checked after it is read.
_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+|$)")
_END = ""
_SYMBOLS = frozenset(("==", "!=", "=", "!", "(", ")", ",", "<", ">", _END))


class _Parser:
    """Recursive descent over the tokens; "" is the end. `in` and `notin` are identifiers but after a key."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [*filter(None, _TOKEN.findall(text)), _END]
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at]

    def take(self) -> str:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def requirements(self) -> Iterable[Requirement]:
        if self.peek() in _SYMBOLS - {"!", _END}:
            raise errors.bad_request(f"found '{self.peek()}', expected: !, identifier, or 'end of string'")
        while self.peek():
            yield _require(self._requirement())
            if (mark := self.take()) not in (",", _END):
                raise errors.bad_request(f"found '{mark}', expected: ',' or 'end of string'")
            if mark == "," and self.peek() in _SYMBOLS - {"!"}:
                raise errors.bad_request(f"found '{self.peek()}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.take()
        key = self._identifier()
        if complaints := names.label_key(key):
            raise _unparsable(causes.invalid("", key, "; ".join(complaints)).message)
        if negated:
            return Requirement(key, Operator.DOES_NOT_EXIST)
        if self.peek() in ("", ","):
            return Requirement(key, Operator.EXISTS)
        operator = self._operator()
        values = self._value_set() if operator in _SETS else {self._exact_value()}
        return Requirement(key, operator, tuple(sorted(values)))

    def _identifier(self) -> str:
        if (token := self.take()) in _SYMBOLS:
            raise _unparsable(f"found '{token}', expected: identifier")
        return token

    def _operator(self) -> Operator:
        if (operator := _BINARY.get(token := self.take())) is None:
            raise _unparsable(f"found '{token}', expected: {_OPERATORS_SHOWN}")
        return operator

    def _exact_value(self) -> str:
        return "" if self.peek() in ("", ",") else self._identifier()

    def _value_set(self) -> set[str]:
        """`(a,b)`; a missing value between commas is the empty string."""
        if (token := self.take()) != "(":
            raise _unparsable(f"found '{token}' expected: '('")
        if self.peek() == ")":
            self.take()
            return set()
        values: set[str] = set()
        while True:
            values.add("" if self.peek() in (",", ")") else self._identifier())
            if (mark := self.take()) == ")":
                return values
            if mark != ",":
                raise _unparsable(f"found '{mark}', expected: ',' or ')'")


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """The selector that a text means; StatusError 400 if it means none."""
    return Selector(_Parser(text).requirements())


def from_set(labels: Labels) -> Selector:
    """Selects what has all these labels (a Service's or ReplicationController's selector)."""
    return Selector(Requirement(k, Operator.EQUALS, (v,)) for k, v in labels.items())


_OBJECT_OPERATORS: Final = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.DOES_NOT_EXIST,
    "Gt": Operator.GREATER_THAN,  # of node selectors only
    "Lt": Operator.LESS_THAN,
}


def from_expressions(expressions: Iterable[Mapping[str, Any]]) -> list[Requirement]:
    """The requirements of `matchExpressions` (of a LabelSelector, or of a node selector term)."""
    out = []
    for expression in expressions:
        operator = _OBJECT_OPERATORS.get(str(expression.get("operator")))
        if operator is None:
            raise errors.bad_request(f'"{expression.get("operator")}" is not a valid label selector operator')
        values = tuple(sorted(set(expression.get("values") or ())))
        if operator in _NUMERIC and len(values) != 1:
            raise _unparsable("values: for 'Gt', 'Lt' operators, exactly one value is required")
        if operator not in (*_SETS, *_NUMERIC) and values:
            raise _unparsable("values: values set must be empty for exists and does not exist")
        out.append(_require(Requirement(str(expression.get("key", "")), operator, values)))
    return out


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The selector of a metav1.LabelSelector: {} selects everything, None nothing. StatusError 400 if it is wrong."""
    if selector is None:
        return NOTHING
    equalities = (Requirement(k, Operator.EQUALS, (v,)) for k, v in (selector.get("matchLabels") or {}).items())
    return Selector([*map(_require, equalities), *from_expressions(selector.get("matchExpressions") or ())])


def validate_label_selector(selector: Mapping[str, Any], path: str) -> list[errors.Cause]:
    """What is wrong with a metav1.LabelSelector that stands at `path` of an object (its types are checked already)."""
    found = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        found += _validate_expression(expression, f"{path}.matchExpressions[{index}]")
    return found


def _validate_expression(expression: Mapping[str, Any], at: str) -> list[errors.Cause]:
    found: list[errors.Cause] = []
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            found.append(causes.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(causes.forbidden(f"{at}.values", detail))
    else:
        found.append(causes.invalid(f"{at}.operator", operator, "not a valid selector operator"))
    key = expression.get("key", "")
    found += [causes.invalid(f"{at}.key", key, c) for c in names.label_key(key)]
    found += [causes.invalid(f"{at}.values[{i}]", v, c) for i, v in enumerate(values) for c in names.label_value(v)]
    return found


def validate_labels(labels: Labels, path: str) -> list[errors.Cause]:
    """What is wrong with the labels that stand at `path`."""
    found: list[errors.Cause] = []
    for key, value in labels.items():
        found += [causes.invalid(path, key, c) for c in names.label_key(key)]
        found += [causes.invalid(path, value, c) for c in names.label_value(value)]
    return found
