"""How far a transfer is, told once a second at most: as JSON lines here, in an object's status by `status`.

Rates are smoothed over some seconds, so that the time left does not jump.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

EVERY = 1.0
_SMOOTHING = 5.0  # seconds over which the rate forgets


@dataclass(frozen=True, slots=True)
class DiskState:
    """One disk: phase is Pending, Running, Succeeded or Failed; sizes in bytes."""

    disk: str
    volume: str
    phase: str = "Pending"
    source_bytes: int = 0
    source_size: int | None = None
    written_bytes: int = 0
    capacity: int = 0
    digest: str = ""
    verified: bool = False
    resumed_at: int = 0  # byte of the source where a transfer that was killed was taken up

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        out: dict[str, Any] = {
            "disk": self.disk,
            "volume": self.volume,
            "phase": self.phase,
            "sourceBytes": self.source_bytes,
            "writtenBytes": self.written_bytes,
        }
        optional = {
            "sourceSize": self.source_size,
            "capacity": self.capacity,
            "digest": self.digest,
            "verified": self.verified,
            "resumedAt": self.resumed_at,
        }
        return out | {key: value for key, value in optional.items() if value}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole transfer at one moment. `rate` in bytes of the source a second, `left` in seconds if it can be told."""

    phase: str
    disks: tuple[DiskState, ...]
    rate: float = 0.0
    left: float | None = None
    message: str = ""

    @property
    def percent(self) -> int | None:
        """Of the source's bytes; None if a size is not known."""
        total = 0
        for disk in self.disks:
            if disk.source_size is None:
                return None
            total += disk.source_size
        done = sum(min(disk.source_bytes, disk.source_size or 0) for disk in self.disks)
        return 100 if self.phase == "Succeeded" else min(99, done * 100 // total) if total else None

    def as_dict(self) -> dict[str, Any]:
        """The wire form: `status.transfer`."""
        out: dict[str, Any] = {"phase": self.phase, "disks": [disk.as_dict() for disk in self.disks]}
        out |= {"bytesPerSecond": round(self.rate)}
        if self.percent is not None:
            out["percent"] = self.percent
        out["secondsLeft"] = None if self.left is None else round(self.left)
        out["message"] = self.message or None
        return out


class Progress(Protocol):
    """Where snapshots go. Must not block for long, and never raise: no transfer fails for want of an audience."""

    def report(self, snapshot: Snapshot) -> None:
        """Tell it."""

    def close(self) -> None:
        """The last snapshot was told; see that it arrives."""


class JsonLines:
    """One JSON object a line on standard output: the worker's log."""

    def report(self, snapshot: Snapshot) -> None:
        """See Progress."""
        line = {key: value for key, value in snapshot.as_dict().items() if value is not None}
        try:
            sys.stdout.buffer.write(orjson.dumps({"transfer": line}) + b"\n")
            sys.stdout.buffer.flush()
        except OSError:
            return  # nobody reads the log

    def close(self) -> None:
        """See Progress."""


class Several:
    """Tells all of them."""

    def __init__(self, *audience: Progress) -> None:
        self._audience = audience

    def report(self, snapshot: Snapshot) -> None:
        """See Progress."""
        for progress in self._audience:
            progress.report(snapshot)

    def close(self) -> None:
        """See Progress."""
        for progress in self._audience:
            progress.close()


@dataclass
class Rate:
    """Bytes a second, smoothed; the time left follows from it."""

    clock: Callable[[], float] = time.monotonic
    value: float = 0.0
    _last: tuple[float, int] | None = field(default=None)

    def update(self, done: int) -> float:
        """`done` bytes in all so far: the rate now."""
        now = self.clock()
        if self._last is not None and now > self._last[0]:
            passed = now - self._last[0]
            current = (done - self._last[1]) / passed
            weight = min(1.0, passed / _SMOOTHING) if self.value else 1.0
            self.value += (current - self.value) * weight
        self._last = (now, done)
        return self.value

    def left(self, bytes_left: int | None) -> float | None:
        """Seconds for so many bytes more."""
        return bytes_left / self.value if bytes_left is not None and self.value > 0 else None
