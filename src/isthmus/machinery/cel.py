"""The Common Expression Language with Kubernetes' functions: compile a text once, evaluate it on JSON values.

The only door to the library (cel-cpp's Python binding: 6 us an evaluation, 13 MB of memory), which is loaded when the
first expression is compiled; most servers never see one. cel-cpp bounds the iterations of an evaluation itself.
Used by: `celrules`.
"""

import importlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from isthmus.machinery import celfunctions

# Each is a library of 3 MB of its own, so only those that an expression may use are loaded.
EXTENSIONS = {
    "bindings": re.compile(r"\bcel\s*\.\s*(?:bind|block)\b").search,
    "encoders": re.compile(r"\bbase64\b").search,
    "math": re.compile(r"\bmath\b").search,
    "optional": re.compile(r"\?|\boptional\b|\bopt").search,
    "strings": re.compile(
        r"\b(?:charAt|format|indexOf|join|lastIndexOf|lowerAscii|quote|replace|reverse|split|substring|trim|upperAscii)\b"
    ).search,
}
MAX_LENGTH = 100_000  # characters of one expression
_is_no_key = re.compile(r'Key not found in map : "(.*)"').search
_is_status = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$").sub


class CelError(Exception):
    """An expression that cannot be compiled, or an evaluation that gives no value."""


class Program:
    """One compiled expression over `self` and `oldSelf`. With `optional`, `oldSelf` is an optional value."""

    def __init__(self, text: str, *, optional: bool = False) -> None:
        if len(text) > MAX_LENGTH:
            raise CelError(f"the expression is longer than {MAX_LENGTH} characters")
        if optional:
            text = f"cel.bind(oldSelf, __old.?value, ({text}))"
        self._optional = optional
        try:
            self._expression = _environment(_extensions_of(text)).compile(text)
        except (RuntimeError, ValueError) as error:
            raise CelError(_clean(str(error))) from error
        self.result: str = self._expression.return_type().name()  # BOOL, STRING, DYN ...

    def evaluate(self, value: Any, old: Any = None, *, has_old: bool = False) -> Any:
        """The value that comes of it. Raises CelError."""
        data: dict[str, Any] = {"self": value}
        if self._optional:
            data["__old"] = {"value": old} if has_old else {}
        elif has_old:
            data["oldSelf"] = old
        try:
            result = self._expression.eval(data=data)
            plain = result.plain_value()
        except (RuntimeError, ValueError, OverflowError) as error:
            raise CelError(_clean(str(error))) from error
        if result.type().name() == "ERROR":
            raise CelError(_clean(str(plain)))
        return plain


def _extensions_of(text: str) -> tuple[str, ...]:
    """The extensions that an expression may use: to take one too many is harmless."""
    return tuple(name for name, uses in EXTENSIONS.items() if uses(text))


@cache
def _environment(names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel  # type: ignore[import-untyped]

    modules = [(name, importlib.import_module(f"cel_expr_python.ext.ext_{name}")) for name in names]
    extensions = [getattr(module, f"Ext{name.title()}")() for name, module in modules]
    extensions.append(cel.CelExtension("kubernetes", celfunctions.declarations(cel)))
    dynamic = cel.Type.DYN
    variables: Mapping[str, Any] = {"self": dynamic, "oldSelf": dynamic, "__old": dynamic}
    return cel.NewEnv(variables=variables, extensions=extensions)


def _clean(message: str) -> str:
    """The library's words without its status codes; a missing key as cel-go says it."""
    if missing := _is_no_key(message):
        return f"no such key: {missing[1]}"
    return _is_status("", message).strip()
