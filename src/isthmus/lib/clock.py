"""Time as Kubernetes writes it (RFC 3339, UTC)."""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache


def timestamp(seconds: float | None = None) -> str:
    """`metav1.Time`: whole seconds, e.g. 2026-01-02T03:04:05Z."""
    return _second(int(time.time() if seconds is None else seconds))


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def micro_timestamp(seconds: float | None = None) -> str:
    """`metav1.MicroTime`, e.g. 2026-01-02T03:04:05.678901Z."""
    at = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TERM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def duration(text: str) -> float:
    """Seconds of a `metav1.Duration`, e.g. 1h30m, 300s, 1.5m. Raises ValueError."""
    terms = _TERM.findall(text)
    if not terms or "".join(number + unit for number, unit in terms) != text:
        raise ValueError(f"{text!r} is not a duration such as 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in terms)
