"""Amounts as OVF writes them: a number and a unit such as `byte * 2^30`, `hertz * 10^6`, `GigaBytes` (DSP0004, C.1)."""

import re

_WORDS = {
    "": 1, "byte": 1, "bytes": 1,
    "kb": 1 << 10, "kilobyte": 1 << 10, "kilobytes": 1 << 10,
    "mb": 1 << 20, "megabyte": 1 << 20, "megabytes": 1 << 20,
    "gb": 1 << 30, "gigabyte": 1 << 30, "gigabytes": 1 << 30,
    "tb": 1 << 40, "terabyte": 1 << 40, "terabytes": 1 << 40,
}  # fmt: skip
_PROGRAMMATIC = re.compile(r"^bytes?\s*(?:\*\s*(\d{1,12})(?:\s*\^\s*(\d{1,2}))?)?$")
_LARGEST = 1 << 80


def parse_factor(unit: str) -> int | None:
    """How many bytes one of `unit` is; None if unknown."""
    text = unit.strip().lower()
    if text in _WORDS:
        return _WORDS[text]
    match = _PROGRAMMATIC.match(text)
    if not match or not match[1]:
        return None
    factor = int(match[1]) ** int(match[2] or 1)
    return factor if 0 < factor <= _LARGEST else None


def parse_bytes(amount: str, unit: str) -> int | None:
    """`amount` `unit`s in bytes; None if either is unknown (an amount may be a `${property}`)."""
    factor = parse_factor(unit)
    text = amount.strip()
    if factor is None or not text.isascii() or not text.isdigit() or len(text) > 30:
        return None
    return int(text) * factor
