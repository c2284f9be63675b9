r"""JSONPath as Kubernetes has it (client-go, util/jsonpath): for printer columns, selectable fields and `scale` paths.

A path is compiled once into steps, each of which maps a list of values to a list of values; a key that is missing
yields nothing. Understood: `.field`, `['field']`, escaped dots (`.metadata.labels.a\.b/c`), `[0]`, `[-1]`, `[1:3]`,
`[*]`, `.*`, `..field`, unions (`['a','b']`, `[0,2]`) and filters (`[?(@.type=='Ready')]`, `[?(@.weight > 3)]`,
`[?(@.x)]`). Braces around the whole and a leading `$` or `@` are optional. Called by: `kinds.columns`, the registry.
Pure.
"""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

Step = Callable[[list[Any], Any], list[Any]]  # (values, root) -> values

MAX_LENGTH = 4096
MAX_VALUES = 10_000  # that a step hands on: `..*..*` finds the same ones again and again
_MAX_NESTING = 8


class JSONPathError(ValueError):
    """The text is no JSONPath that Kubernetes would accept. `str()` says what was expected, and where."""


@dataclass(frozen=True, slots=True)
class JSONPath:
    """A compiled path."""

    text: str
    steps: tuple[Step, ...]
    keys: tuple[str | int, ...] | None  # the whole path, where it is plain fields and indexes

    def find(self, value: Any) -> list[Any]:
        """Every value at the path, in the order of the document; none where a key is missing."""
        if self.keys is not None:
            found = _follow(self.keys, value)
            return [] if found is _MISSING else [found]
        return _run(self.steps, value, value)

    def first(self, value: Any, default: Any = None) -> Any:
        """The first value at the path: what a printer column shows."""
        if self.keys is not None:
            found = _follow(self.keys, value)
            return default if found is _MISSING else found
        found = _run(self.steps, value, value)
        return found[0] if found else default


_MISSING: Any = object()


def _follow(keys: tuple[str | int, ...], value: Any) -> Any:
    for key in keys:
        if isinstance(key, str):
            if not isinstance(value, dict) or key not in value:
                return _MISSING
        elif not isinstance(value, list) or not -len(value) <= key < len(value):
            return _MISSING
        value = value[key]
    return value


def _run(steps: tuple[Step, ...], value: Any, root: Any) -> list[Any]:
    values = [value]
    for step in steps:
        values = step(values, root)[:MAX_VALUES]
        if not values:
            break
    return values


@lru_cache(maxsize=4096)
def compile(text: str) -> JSONPath:  # noqa: A001 - as in re.compile
    """Compile a path; the same text gives the same object. Raises JSONPathError."""
    if len(text) > MAX_LENGTH:
        raise JSONPathError(f"a path of {len(text)} characters is longer than {MAX_LENGTH}")
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1].strip()
    parser = _Parser(body)
    steps, keys = parser.path(nested=0)
    if parser.place < len(body):
        raise parser.error("a '.' or '['")
    return JSONPath(text, tuple(steps), keys)


# --- steps ---


def _key_step(key: str | int) -> Step:
    def step(values: list[Any], _root: Any) -> list[Any]:
        found = (_follow((key,), value) for value in values)
        return [value for value in found if value is not _MISSING]

    return step


def _wildcard(values: list[Any], _root: Any) -> list[Any]:
    return list(islice((child for value in values for child in _children(value)), MAX_VALUES))


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descendants(values: list[Any], _root: Any) -> list[Any]:
    """Every value and all below it, parents first."""
    out: list[Any] = []
    waiting = list(reversed(values))
    while waiting and len(out) < MAX_VALUES:
        value = waiting.pop()
        out.append(value)
        waiting.extend(reversed(list(_children(value))))
    return out


def _slice_step(bounds: slice) -> Step:
    def step(values: list[Any], _root: Any) -> list[Any]:
        return [item for value in values if isinstance(value, list) for item in value[bounds]]

    return step


def _union_step(steps: list[Step]) -> Step:
    def step(values: list[Any], root: Any) -> list[Any]:
        found = (one for value in values for part in steps for one in part([value], root))
        return list(islice(found, MAX_VALUES))

    return step


def _filter_step(test: Callable[[Any, Any], bool]) -> Step:
    def step(values: list[Any], root: Any) -> list[Any]:
        return [item for value in values for item in _children(value) if test(item, root)]

    return step


# --- filters ---

Operand = Callable[[Any, Any], list[Any]]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def _comparison(left: Operand, compare: Callable[[Any, Any], bool], right: Operand) -> Callable[[Any, Any], bool]:
    def test(item: Any, root: Any) -> bool:
        a, b = left(item, root), right(item, root)
        if not a or not b:
            return False
        x, y = a[0], b[0]
        if not _comparable(x, y):
            return compare is operator.ne
        return bool(compare(x, y))

    return test


def _comparable(x: Any, y: Any) -> bool:
    if isinstance(x, bool) or isinstance(y, bool):
        return isinstance(x, bool) and isinstance(y, bool)
    if isinstance(x, int | float):
        return isinstance(y, int | float)
    return isinstance(x, str) and isinstance(y, str)


# --- parser ---

_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"(?:\\.|[^\s.\[\]\\(){}<>=!,'\"])+")
_INTEGER = re.compile(r"-?\d{1,9}")
_SLICE = re.compile(r"\s*(-?\d{1,9})?\s*:\s*(-?\d{1,9})?\s*(?::\s*(\d{1,9})?)?\s*(?=\])")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?")
_QUOTED = re.compile(r"'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\"")
_OPERATOR = re.compile(r"==|!=|<=|>=|<|>")
_WORDS = {"true": True, "false": False, "null": None, "nil": None}


class _Parser:
    """Recursive descent over one path; `place` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def error(self, expected: str) -> JSONPathError:
        rest = self.text[self.place :]
        found = f"{rest[:12]!r}" if rest else "the end"
        return JSONPathError(
            f"JSONPath {self.text!r}: at character {self.place + 1} {expected} was expected, not {found}"
        )

    def take(self, token: str) -> bool:
        if self.text.startswith(token, self.place):
            self.place += len(token)
            return True
        return False

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.place)
        if found is not None:
            self.place = found.end()
        return found

    def expect(self, token: str) -> None:
        self.match(_SPACE)
        if not self.take(token):
            raise self.error(repr(token))

    def path(self, nested: int) -> tuple[list[Step], tuple[str | int, ...] | None]:
        """Steps up to what cannot continue a path, and the keys where there are only plain ones."""
        steps: list[Step] = []
        keys: list[str | int] | None = []
        if not self.take("$"):
            self.take("@")
        key: str | int | Step
        while self.place < len(self.text):
            if self.take(".."):
                steps.append(_descendants)
                keys = None
                if self.text.startswith("[", self.place):
                    continue
                key = self.field()
            elif self.take("."):
                if self.text.startswith("[", self.place) or self.place == len(self.text):
                    continue
                key = self.field()
            elif self.take("["):
                key = self.bracket(nested)
            elif not steps and keys == [] and _FIELD.match(self.text, self.place):
                key = self.field()  # "spec.nodeName", as selectable fields are written
            else:
                break
            steps.append(key if callable(key) else _key_step(key))
            keys = None if callable(key) or keys is None else [*keys, key]
        return steps, None if keys is None else tuple(keys)

    def field(self) -> str | Step:
        if self.take("*"):
            return _wildcard
        found = self.match(_FIELD)
        if found is None:
            raise self.error("a field name")
        return re.sub(r"\\(.)", r"\1", found[0])

    def bracket(self, nested: int) -> str | int | Step:
        """What stands between [ and ]."""
        self.match(_SPACE)
        if self.take("?("):
            step: str | int | Step = self.filter(nested)
            self.expect(")")
        elif self.take("*"):
            step = _wildcard
        elif found := self.match(_SLICE):
            start, stop, stride = (int(part) if part else None for part in found.groups())
            if stride == 0:
                raise self.error("a stride other than 0")
            step = _slice_step(slice(start, stop, stride))
        else:
            step = self.union()
        self.expect("]")
        return step

    def union(self) -> str | int | Step:
        keys = [self.key()]
        self.match(_SPACE)
        while self.take(","):
            self.match(_SPACE)
            keys.append(self.key())
            self.match(_SPACE)
        return keys[0] if len(keys) == 1 else _union_step([_key_step(key) for key in keys])

    def key(self) -> str | int:
        if found := self.match(_QUOTED):
            return _unquote(found)
        if found := self.match(_INTEGER):
            return int(found[0])
        raise self.error("an index, a quoted name, '*' or a filter")

    def filter(self, nested: int) -> Step:
        if nested >= _MAX_NESTING:
            raise JSONPathError(f"JSONPath {self.text!r}: filters are nested more than {_MAX_NESTING} deep")
        left = self.operand(nested + 1)
        self.match(_SPACE)
        found = self.match(_OPERATOR)
        if found is None:
            return _filter_step(lambda item, root: bool(left(item, root)))
        return _filter_step(_comparison(left, _OPERATORS[found[0]], self.operand(nested + 1)))

    def operand(self, nested: int) -> Operand:
        self.match(_SPACE)
        if self.text.startswith(("@", "$"), self.place):
            from_root = self.text[self.place] == "$"
            found_steps, _ = self.path(nested)
            steps = tuple(found_steps)
            if from_root:
                return lambda _item, root: _run(steps, root, root)
            return lambda item, root: _run(steps, item, root)
        constant = self.constant()
        return lambda _item, _root: [constant]

    def constant(self) -> Any:
        if found := self.match(_QUOTED):
            return _unquote(found)
        if found := self.match(_NUMBER):
            return float(found[0]) if "." in found[0] else int(found[0])
        for word, value in _WORDS.items():
            if self.take(word):
                return value
        raise self.error("a path (@...), a quoted string, a number, true or false")


def _unquote(found: re.Match[str]) -> str:
    text = found[1] if found[1] is not None else found[2]
    return re.sub(r"\\(.)", r"\1", text)
