"""The ways in which a field can be wrong, each a constructor of `errors.Cause` with kube-apiserver's wording.

Kubernetes' package of this purpose is apimachinery's `field` (util/validation/field); its messages are what people
search the web for and what some clients match, so they are kept to the letter.
Used by: every module that validates. The causes become one 422 through `errors.invalid`.
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from isthmus.machinery.errors import Cause


class _Omitted:
    """A bad value that is not shown."""


OMITTED: Final = _Omitted()
"""Stands for a bad value that the message must not repeat."""

_GO_EXPONENT_FROM = 1e21


def show(value: Any) -> str:
    """A value as Go prints it in these messages: strings quoted, numbers plain, the rest as compact JSON."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < _GO_EXPONENT_FROM else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError):
        return str(value)


def _cause(path: str, reason: str, title: str, value: Any, detail: str) -> Cause:
    body = title if value is OMITTED else f"{title}: {show(value)}"
    return Cause(path, f"{body}: {detail}" if detail else body, reason)


def invalid(path: str, value: Any, detail: str) -> Cause:
    """A malformed value: out of bounds, not matching a pattern."""
    return _cause(path, "FieldValueInvalid", "Invalid value", value, detail)


def type_invalid(path: str, value: Any, detail: str) -> Cause:
    """A value of another type than the schema's."""
    return _cause(path, "FieldValueTypeInvalid", "Invalid value", value, detail)


def required(path: str, detail: str = "") -> Cause:
    """A value that must be there."""
    return _cause(path, "FieldValueRequired", "Required value", OMITTED, detail)


def duplicate(path: str, value: Any) -> Cause:
    """A value that must be unique and is not."""
    return _cause(path, "FieldValueDuplicate", "Duplicate value", value, "")


def not_found(path: str, value: Any) -> Cause:
    """A reference to something that does not exist."""
    return _cause(path, "FieldValueNotFound", "Not found", value, "")


def not_supported(path: str, value: Any, supported: Iterable[Any]) -> Cause:
    """A value outside an enumeration."""
    listed = ", ".join(show(str(s)) for s in supported)
    return _cause(
        path, "FieldValueNotSupported", "Unsupported value", value, f"supported values: {listed}" * bool(listed)
    )


def forbidden(path: str, detail: str) -> Cause:
    """A value that is well formed but not allowed here or now."""
    return _cause(path, "FieldValueForbidden", "Forbidden", OMITTED, detail)


def too_long(path: str, limit: int) -> Cause:
    """More than `limit` bytes of text."""
    return _cause(path, "FieldValueTooLong", "Too long", OMITTED, f"may not be more than {_count(limit, 'byte')}")


def too_many(path: str, actual: int, limit: int) -> Cause:
    """More than `limit` items."""
    return _cause(path, "FieldValueTooMany", "Too many", actual, f"must have at most {_count(limit, 'item')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
