"""The string formats that kube-apiserver checks in a CRD's schema (kube-openapi, pkg/validation/strfmt).

A format that is not in the table is not checked, as in Kubernetes.
"""

import base64
import binascii
import datetime
import ipaddress
import re
from collections.abc import Callable
from email.utils import parseaddr
from urllib.parse import urlsplit

from isthmus.machinery import names

Format = Callable[[str], bool]


def _parses(parse: Callable[[str], object]) -> Format:
    def is_valid(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, OverflowError):
            return False
        return True

    return is_valid


def _matches(pattern: str) -> Format:
    match = re.compile(pattern, re.ASCII).fullmatch
    return lambda text: match(text) is not None


def _uuid(version: str, variant: str) -> Format:
    return _matches(
        rf"(?i)[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?{variant}[0-9a-f]{{3}}-?[0-9a-f]{{12}}"
    )


def _is_cidr(text: str) -> bool:
    return "/" in text and _parses(lambda t: ipaddress.ip_network(t, strict=False))(text)


_is_date_time = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:\d\d)?", re.ASCII
).fullmatch


def _date_time(text: str) -> bool:
    found = _is_date_time(text)
    return found is not None and _date(found[1])


_is_full_date = _matches(r"\d{4}-\d\d-\d\d")
_is_calendar_date = _parses(datetime.date.fromisoformat)


def _date(text: str) -> bool:
    return _is_full_date(text) and _is_calendar_date(text)


_UNIT = (
    r"(?:ns|us|µs|μs|ms|s|m|h|d|w|(?:nano|micro|milli)s(?:ec(?:ond)?s?)?"
    r"|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?)"
)
_duration = re.compile(rf"[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)\s*{_UNIT}\s*)+)").fullmatch


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_LONGEST_EMAIL = 400  # characters, a name beside it included; the parser recurses


def _email(text: str) -> bool:
    if len(text) > _LONGEST_EMAIL:
        return False
    _, address = parseaddr(text)
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and not domain.startswith(".")


def _uri(text: str) -> bool:
    """Go's url.ParseRequestURI: an absolute URI or an absolute path."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return text.isprintable() and " " not in parts.netloc and (bool(parts.scheme) or text.startswith("/"))


_HOST_LABEL = r"[^\W_](?:(?:-|[^\W_]){0,61}[^\W_])?"
_hostname = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?").fullmatch


def _isbn(text: str) -> bool:
    return _isbn10(text) or _isbn13(text)


def _isbn10(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if re.fullmatch(r"\d{9}[\dXx]", digits, re.ASCII) is None:
        return False
    return sum((10 - i) * (10 if d in "Xx" else int(d)) for i, d in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if re.fullmatch(r"\d{13}", digits, re.ASCII) is None:
        return False
    return sum((3 if i % 2 else 1) * int(d) for i, d in enumerate(digits)) % 10 == 0


def _credit_card(text: str) -> bool:
    digits = [int(d) for d in text if d.isascii() and d.isdigit()]
    if not 13 <= len(digits) <= 16:
        return False
    doubled = [d * 2 - 9 * (d > 4) if i % 2 else d for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


_FORMATS: dict[str, Format] = {
    "bsonobjectid": _matches(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _email,
    "hostname": lambda text: len(text) <= names.SUBDOMAIN_MAX and _hostname(text) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _is_cidr,
    "mac": _matches(r"(?i)[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}"),
    "uuid": _uuid("[0-9a-f]", "[0-9a-f]"),
    "uuid3": _uuid("3", "[0-9a-f]"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": _isbn,
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(r"rgb\(\s*(?:(?:\d{1,2}|1\d\d|2[0-4]\d|25[0-5])\s*(?:,\s*|\))){3}"),
    "byte": _byte,
    "date": _date,
    "duration": lambda text: _duration(text.strip()) is not None,
    "datetime": _date_time,
    "k8sshortname": lambda text: not names.dns1123_label(text),
    "k8slongname": lambda text: not names.dns1123_subdomain(text),
}


def find_format(name: str) -> Format | None:
    """The check of a format, None if the format is not checked. Dashes do not count: date-time is datetime."""
    return _FORMATS.get(name.replace("-", ""))
