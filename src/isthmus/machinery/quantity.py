"""Quantities: `100m`, `1.5Gi`, `2e3`. Exact values, comparison, and Kubernetes' canonical text.

A quantity is a decimal number with a suffix; parsing rounds up to whole nano-units and caps at 2^63-1, as in Kubernetes
(apimachinery, pkg/api/resource/quantity.go, suffix.go). The canonical text has no fraction, the largest suffix that
avoids one, and keeps the family of suffixes that it was written with. Used by admission of quotas and limits, the
scheduler, the VM specification, columns.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache, total_ordering
from typing import Final


class Format(StrEnum):
    """The family of suffixes of a canonical text."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


class QuantityError(ValueError):
    """The text is no quantity."""


_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIX_BY_EXPONENT: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}

_parse = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?)|[eE]([+-]?[0-9]+))", re.ASCII
).fullmatch
_MAX_TEXT = 256
_MAX_EXPONENT = 100
_MAX: Final = (1 << 63) - 1
_NANO: Final = Fraction(1, 10**9)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact value and the family of suffixes of its text. Equal and ordered by value alone."""

    value: Fraction
    format: Format = Format.DECIMAL_SI

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if isinstance(other, Quantity) else NotImplemented

    def __lt__(self, other: "Quantity") -> bool:
        return self.value < other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return self.value != 0

    def __add__(self, other: "Quantity") -> "Quantity":
        """The sum, in the format of the first that is not zero."""
        return Quantity(_bounded(self.value + other.value), (self or other).format)

    def __sub__(self, other: "Quantity") -> "Quantity":
        """The difference, in the format of the first that is not zero."""
        return Quantity(_bounded(self.value - other.value), (self or other).format)

    def __neg__(self) -> "Quantity":
        return Quantity(-self.value, self.format)

    def __mul__(self, factor: int) -> "Quantity":
        return Quantity(_bounded(self.value * factor), self.format)

    def __str__(self) -> str:
        return _canonical(self)

    def scaled(self, unit: Fraction) -> int:
        """The number of `unit`s, rounded up (away from zero), as Kubernetes' ScaledValue."""
        return _round_up(self.value / unit)


ZERO: Final = Quantity(Fraction(0))


def _round_up(value: Fraction) -> int:
    """To a whole number, away from zero."""
    return -(-value.numerator // value.denominator) if value > 0 else value.numerator // value.denominator


def _bounded(value: Fraction) -> Fraction:
    """Whole nano-units, at most 2^63-1 either way."""
    if value.denominator != 1:
        value = _round_up(value / _NANO) * _NANO
    return min(max(value, Fraction(-_MAX)), Fraction(_MAX))


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> Quantity:
    found = _parse(text) if len(text) <= _MAX_TEXT else None
    if found is None:
        raise QuantityError(
            f"{text[:64]!r} is no quantity: expected a number with an optional suffix, as in 500m or 2Gi"
        )
    number, suffix, exponent = found.groups()
    value = Fraction(number)
    if exponent is not None:
        power = max(min(int(exponent), _MAX_EXPONENT), -_MAX_EXPONENT)
        return Quantity(_bounded(value * Fraction(10) ** power), Format.DECIMAL_EXPONENT)
    if suffix in _BINARY:
        return Quantity(_bounded(value * (1 << _BINARY[suffix])), Format.BINARY_SI)
    return Quantity(_bounded(value * Fraction(10) ** _DECIMAL[suffix or ""]), Format.DECIMAL_SI)


def parse(text: str | float) -> Quantity:
    """The quantity that a text, or a JSON number, means. Raises QuantityError."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise QuantityError(f"{text!r} is no quantity: expected a text or a number")
    return _parse_text(text if isinstance(text, str) else str(text))


def whole(text: str | float) -> int:
    """The value in whole units, rounded up: bytes of memory or storage, CPUs. Raises QuantityError."""
    return parse(text).scaled(Fraction(1))


def to_milli(text: str | float) -> int:
    """The value in thousandths, rounded up: millicores. Raises QuantityError."""
    return parse(text).scaled(Fraction(1, 1000))


def from_bytes(count: int) -> str:
    """The canonical text of a number of bytes: with binary suffixes."""
    return str(Quantity(Fraction(count), Format.BINARY_SI))


def from_milli(count: int) -> str:
    """The canonical text of a number of thousandths: `250m`, `2`."""
    return str(Quantity(Fraction(count, 1000)))


def canonical(text: str | float) -> str:
    """The text as Kubernetes stores and prints it: `1024Mi` as `1Gi`, `0.5` as `500m`. Raises QuantityError."""
    return str(parse(text))


def _canonical(quantity: Quantity) -> str:
    value = quantity.value
    if not value:
        return "0"
    # Binary suffixes say nothing about fractions and little about small numbers: those are written in decimal.
    if quantity.format is Format.BINARY_SI and abs(value) >= 1024 and value.denominator == 1:
        return _binary(value.numerator)
    exponent, mantissa = _decimal_exponent(value)
    if quantity.format is Format.DECIMAL_EXPONENT:
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_SUFFIX_BY_EXPONENT[exponent]}"


def _binary(number: int) -> str:
    suffix = ""
    for name in _BINARY:
        if number % 1024:
            break
        number, suffix = number // 1024, name
    return f"{number}{suffix}"


def _decimal_exponent(value: Fraction) -> tuple[int, int]:
    """The greatest exponent of ten, a multiple of three between -9 and 18, that leaves a whole mantissa."""
    for exponent in range(18, -10, -3):
        mantissa = value / Fraction(10) ** exponent
        if mantissa.denominator == 1:
            return exponent, mantissa.numerator
    return -9, _round_up(value / _NANO)
