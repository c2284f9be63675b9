"""Time as Kubernetes writes it (RFC 3339, UTC)."""

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
