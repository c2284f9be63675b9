"""YAML 1.1 to JSON values as Kubernetes reads it (sigs.k8s.io/yaml over goyaml v2), safe against hostile input.

Built from libyaml's events on an explicit stack, not by PyYAML's constructors: their YAML 1.1 turns dates into datetime
objects and `52:54:00` (a MAC address) into a sexagesimal number, their composer recurses, and aliases share objects.
Here a timestamp is a string, `y`/`on`/`0777` are what goyaml makes of them, whole floats are integers (as after Go's
round trip through JSON), aliases are copied within a budget, `<<` merges. The only exception is YamlError.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import yaml

from isthmus.machinery.pruning import Path

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_ALIASED = 100_000
"""Values that aliases may add to a document: enough for every honest manifest, too few for a billion laughs."""

_CORE = "tag:yaml.org,2002:"
_MERGE: Final = object()

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    "<<": _MERGE,
}
_RESOLVED_TAGS = frozenset(f"{_CORE}{name}" for name in ("int", "float", "bool", "null", "merge"))
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)").fullmatch
_float = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?").fullmatch
_integer = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))").fullmatch
_BASES = (16, 2, 8, 10)
_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1
_WHOLE_FLOATS = 1e15


class YamlError(ValueError):
    """The text is no YAML, or means something that JSON cannot say."""


def decode(text: bytes | str, *, max_depth: int = 200) -> tuple[Any, list[Path]]:
    """The value of the one document in `text` (None if it is empty), and the paths of keys that occur twice."""
    builder = _Builder(max_depth)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
        orjson.dumps(builder.value)
    except (yaml.YAMLError, UnicodeError, orjson.JSONEncodeError) as error:
        raise YamlError(" ".join(str(error).split())) from error
    return builder.value, builder.repeated


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    into: dict[str, Any] | list[Any]
    anchor: str | None
    path: Path
    key: Any = None
    has_key: bool = False
    explicit: set[str] = field(default_factory=set)  # keys of a mapping that a merge must not replace


class _Builder:
    """Takes events; `value` is there after the last."""

    def __init__(self, max_depth: int) -> None:
        self.value: Any = None
        self.repeated: list[Path] = []
        self._documents = 0
        self._max_depth = max_depth
        self._stack: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._budget = MAX_ALIASED
        self._handlers: dict[type, Callable[[Any], None]] = {
            yaml.DocumentStartEvent: self._document,
            yaml.MappingStartEvent: lambda e: self._open({}, e),
            yaml.SequenceStartEvent: lambda e: self._open([], e),
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
        }

    def take(self, event: yaml.Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _error(event, "a second document: one object is expected")

    def _open(self, into: dict[str, Any] | list[Any], event: Any) -> None:
        if len(self._stack) >= self._max_depth:
            raise _error(event, f"nested more than {self._max_depth} levels deep")
        if event.tag not in (None, "!", f"{_CORE}map", f"{_CORE}seq"):
            raise _error(event, f"the tag {event.tag} is not supported")
        if self._awaits_key():
            raise _error(event, "a mapping or sequence cannot be a key")
        self._stack.append(_Open(into, event.anchor, self._next_path()))

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].into, dict) and not self._stack[-1].has_key

    def _next_path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.path, len(top.into) if isinstance(top.into, list) else top.key if top.key is not _MERGE else "<<")

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._anchors[done.anchor] = done.into
        self._put(done.into, event)

    def _scalar(self, event: Any) -> None:
        value = _resolve(event)
        if event.anchor:
            self._anchors[event.anchor] = value
        self._put(value, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise _error(event, f"the anchor {event.anchor!r} is unknown here")
        self._put(self._copy(self._anchors[event.anchor], event), event)

    def _copy(self, value: Any, event: Any) -> Any:
        self._budget -= 1
        if self._budget < 0:
            raise _error(event, "the document contains excessive aliasing")
        if isinstance(value, dict):
            return {k: self._copy(v, event) for k, v in value.items()}
        return [self._copy(v, event) for v in value] if isinstance(value, list) else value

    def _put(self, value: Any, event: Any) -> None:
        """A finished value goes where the enclosing collection waits for one."""
        if not self._stack:
            self.value = "<<" if value is _MERGE else value
            return
        top = self._stack[-1]
        if isinstance(top.into, list):
            top.into.append("<<" if value is _MERGE else value)
        elif not top.has_key:
            top.key, top.has_key = value if value is _MERGE else _key(value, event), True
        else:
            top.has_key = False
            self._set(top, top.into, "<<" if value is _MERGE else value, event)

    def _set(self, top: _Open, into: dict[str, Any], value: Any, event: Any) -> None:
        if top.key is _MERGE:
            for source in reversed(value) if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise _error(event, "map merge requires map or sequence of maps as the value")
                into.update({k: v for k, v in source.items() if k not in top.explicit})
            return
        if top.key in top.explicit:
            self.repeated.append((*top.path, top.key))
        top.explicit.add(top.key)
        into[top.key] = value


def _error(event: Any, problem: str) -> YamlError:
    mark = event.start_mark
    return YamlError(f"line {mark.line + 1}: {problem}" if mark else problem)


def _key(value: Any, event: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        raise _error(event, "unsupported map key")
    return str(orjson.dumps(value), "utf-8")


def _resolve(event: Any) -> Any:
    """What a scalar means: plain ones by their look, quoted ones are strings, tags decide over both."""
    text, tag = event.value, event.tag
    if tag in (None, "!"):
        return _plain(text, event) if event.implicit[0] and tag is None else text
    if tag == f"{_CORE}str":
        return text
    if tag == f"{_CORE}timestamp":
        return text
    if tag in _RESOLVED_TAGS and not isinstance(value := _plain(text, event), str):
        return value
    raise _error(event, f"the tag {tag} is not supported for {text[:64]!r}")


def _plain(text: str, event: Any) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NOT_JSON(text):
        raise _error(event, f"{text} is no JSON value")
    return _number(text)


def _number(text: str) -> Any:
    bare = text if text[0] == "." else text.replace("_", "")
    if found := _integer(bare):
        digits, base = next((d, b) for d, b in zip(found.groups()[1:], _BASES, strict=True) if d is not None)
        if len(digits) <= 64:
            number = int(found[1] + digits, base)
            if _INT64_MIN <= number <= _UINT64_MAX:
                return number
    if _float(bare) is None or len(bare) > 400:
        return text
    value = float(bare)
    if value in (float("inf"), float("-inf")):
        return text
    return int(value) if value.is_integer() and abs(value) < _WHOLE_FLOATS else value
