"""The Common Expression Language with Kubernetes' functions: compile a text once, evaluate it on JSON values.

The only door to the library (cel-cpp's Python binding: 6 us an evaluation, 13 MB of memory), which is loaded when the
first expression is compiled; most servers never see one. cel-cpp bounds the iterations of an evaluation itself.
Used by: `celrules`.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from isthmus.machinery import celfunctions

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
            self._expression = _environment().compile(text)
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


@cache
def _environment() -> Any:
    from cel_expr_python import cel  # type: ignore[import-untyped]
    from cel_expr_python.ext import (  # type: ignore[import-untyped]
        ext_bindings,
        ext_encoders,
        ext_math,
        ext_optional,
        ext_strings,
    )

    extensions = [
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_strings.ExtStrings(),
        cel.CelExtension("kubernetes", celfunctions.declarations(cel)),
    ]
    dynamic = cel.Type.DYN
    variables: Mapping[str, Any] = {"self": dynamic, "oldSelf": dynamic, "__old": dynamic}
    return cel.NewEnv(variables=variables, extensions=extensions)


def _clean(message: str) -> str:
    """The library's words without its status codes; a missing key as cel-go says it."""
    if missing := _is_no_key(message):
        return f"no such key: {missing[1]}"
    return _is_status("", message).strip()
