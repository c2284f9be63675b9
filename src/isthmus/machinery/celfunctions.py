"""Kubernetes' own functions of CEL (apiserver, pkg/cel/library): lists, patterns, quantities, URLs, addresses.

Each is a row: name, parameter types, whether it is called on its first parameter, result type, implementation. A value
of a type that plain CEL does not have (a quantity, a URL) is a map that holds its canonical form, so that `==` works.
An implementation raises ValueError for a wrong argument, which becomes the evaluation's error. Called by `cel`.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from isthmus.machinery import quantity

Value = dict[str, Any]
_QUANTITY, _URL, _IP, _CIDR = "~quantity", "~url", "~ip", "~cidr"
_MAX_PATTERN = 1000
_MAX_SECONDS = 1.0  # for all matches of one call
# What Kubernetes has and we lack: named formats, versions, sets, comprehensions over keys and values.
_uses_missing = re.compile(
    r"\b(?:format\.\w+|semver|isSemver|sets\.\w+|transform(?:List|Map|MapEntry)|authorizer)\s*\(", re.ASCII
).search


def declarations(cel: Any) -> list[Any]:
    """The library's declarations of all functions; `cel` is its module."""
    overloads: dict[str, list[Any]] = {}
    for name, parameters, member, result, implementation in _rows():
        types = [getattr(cel.Type, kind) for kind in parameters.split()]
        identity = f"k8s_{name}_{len(overloads.get(name, ()))}"
        overload = cel.Overload(identity, getattr(cel.Type, result), types, member, implementation)
        overloads.setdefault(name, []).append(overload)
    return [cel.FunctionDecl(name, listed) for name, listed in overloads.items()]


def is_supported(text: str) -> bool:
    """Whether an expression keeps to the functions that are here."""
    return _uses_missing(text) is None


def _rows() -> Iterator[tuple[str, str, bool, str, Callable[..., Any]]]:
    yield "isSorted", "LIST", True, "BOOL", lambda items: all(a <= b for a, b in pairwise(items))
    yield "sum", "LIST", True, "DYN", sum
    yield "min", "LIST", True, "DYN", _least
    yield "max", "LIST", True, "DYN", _greatest
    yield "indexOf", "LIST DYN", True, "INT", lambda items, item: items.index(item) if item in items else -1
    yield "lastIndexOf", "LIST DYN", True, "INT", _last_index
    yield "find", "STRING STRING", True, "STRING", lambda text, pattern: next(_matches(text, pattern), "")
    yield "findAll", "STRING STRING", True, "LIST", lambda text, pattern: list(_matches(text, pattern))
    yield "findAll", "STRING STRING INT", True, "LIST", _first_matches
    yield "isQuantity", "STRING", False, "BOOL", lambda text: _is(_parse_quantity, text)
    yield "quantity", "STRING", False, "DYN", _parse_quantity
    yield "isGreaterThan", "DYN DYN", True, "BOOL", lambda a, b: _number(a) > _number(b)
    yield "isLessThan", "DYN DYN", True, "BOOL", lambda a, b: _number(a) < _number(b)
    yield "compareTo", "DYN DYN", True, "INT", lambda a, b: (_number(a) > _number(b)) - (_number(a) < _number(b))
    yield "add", "DYN DYN", True, "DYN", lambda a, b: _quantity(_number(a) + _number(b))
    yield "sub", "DYN DYN", True, "DYN", lambda a, b: _quantity(_number(a) - _number(b))
    yield "sign", "DYN", True, "INT", lambda a: (_number(a) > 0) - (_number(a) < 0)
    yield "isInteger", "DYN", True, "BOOL", lambda a: _number(a).denominator == 1
    yield "asInteger", "DYN", True, "INT", _as_integer
    yield "asApproximateFloat", "DYN", True, "DOUBLE", lambda a: float(_number(a))
    yield "isURL", "STRING", False, "BOOL", lambda text: _is(_split, text)
    yield "url", "STRING", False, "DYN", lambda text: {_URL: _split(text).geturl()}
    yield "getScheme", "DYN", True, "STRING", lambda url: _parts(url).scheme
    yield "getHost", "DYN", True, "STRING", lambda url: _parts(url).netloc.rpartition("@")[2]
    yield "getHostname", "DYN", True, "STRING", lambda url: _parts(url).hostname or ""
    yield "getPort", "DYN", True, "STRING", lambda url: str(_parts(url).port or "")
    yield "getEscapedPath", "DYN", True, "STRING", lambda url: _parts(url).path
    yield "getQuery", "DYN", True, "MAP", lambda url: parse_qs(_parts(url).query, keep_blank_values=True)
    yield "isIP", "STRING", False, "BOOL", lambda text: _is(ipaddress.ip_address, text)
    yield "ip", "STRING", False, "DYN", lambda text: {_IP: str(ipaddress.ip_address(text))}
    yield "family", "DYN", True, "INT", lambda ip: ipaddress.ip_address(ip[_IP]).version
    yield "isLoopback", "DYN", True, "BOOL", lambda ip: ipaddress.ip_address(ip[_IP]).is_loopback
    yield "isUnspecified", "DYN", True, "BOOL", lambda ip: ipaddress.ip_address(ip[_IP]).is_unspecified
    yield "isLinkLocalUnicast", "DYN", True, "BOOL", lambda ip: ipaddress.ip_address(ip[_IP]).is_link_local
    yield "isCIDR", "STRING", False, "BOOL", lambda text: "/" in text and _is(ipaddress.ip_interface, text)
    yield "cidr", "STRING", False, "DYN", lambda text: {_CIDR: str(ipaddress.ip_interface(text))}
    yield "containsIP", "DYN DYN", True, "BOOL", lambda c, ip: _address(ip) in _network(c)
    yield "prefixLength", "DYN", True, "INT", lambda c: _network(c).prefixlen


def _is(parse: Callable[[str], Any], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _least(items: list[Any]) -> Any:
    if not items:
        raise ValueError("min called on empty list")
    return min(items)


def _greatest(items: list[Any]) -> Any:
    if not items:
        raise ValueError("max called on empty list")
    return max(items)


def _last_index(items: list[Any], item: Any) -> int:
    return len(items) - 1 - items[::-1].index(item) if item in items else -1


def _matches(text: str, pattern: str) -> Iterator[str]:
    """The matches as Go's FindAllString gives them: an empty one next to the match before it does not count.

    RE2 makes one search linear in the text, but each may look at all that is left: hence the deadline.
    """
    deadline, end = time.monotonic() + _MAX_SECONDS, -1
    for found in _compile(pattern).finditer(text):
        if found.end() > found.start() or found.start() != end:
            yield found.group()
        end = found.end()
        if time.monotonic() > deadline:
            raise ValueError(f"finding all matches takes longer than {_MAX_SECONDS} s")


@lru_cache(maxsize=256)
def _compile(pattern: str) -> Any:
    """RE2, as Go has it: no pattern takes longer than its length times the text's. Loaded by the first pattern."""
    import re2  # type: ignore[import-untyped]

    if len(pattern) > _MAX_PATTERN:
        raise ValueError(f"the pattern is longer than {_MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"illegal regex: {error.args[0].decode(errors='replace')}") from error


def _first_matches(text: str, pattern: str, limit: int) -> list[str]:
    return list(islice(_matches(text, pattern), limit if limit >= 0 else None))


def _quantity(number: Fraction) -> Value:
    return {_QUANTITY: f"{number.numerator}/{number.denominator}"}


def _parse_quantity(text: str) -> Value:
    return _quantity(quantity.parse(text).value)


def _number(value: Any) -> Fraction:
    return Fraction(value) if isinstance(value, int) else Fraction(value[_QUANTITY])


def _as_integer(value: Value) -> int:
    number = _number(value)
    if number.denominator != 1:
        raise ValueError("cannot convert value to integer")
    return int(number)


def _split(text: str) -> SplitResult:
    parts = urlsplit(text)
    if not (parts.scheme and parts.netloc) and not text.startswith("/"):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return parts


def _parts(url: Value) -> SplitResult:
    return urlsplit(url[_URL])


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(value if isinstance(value, str) else value[_IP])


def _network(value: Value) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(value[_CIDR]).network
