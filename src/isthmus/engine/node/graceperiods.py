"""Until when something that shall end may still take its time: grace periods on a clock that nobody sets.

An object's deletionTimestamp is the wall clock's. Each is turned once, when it is first seen, into a deadline of the
monotonic clock: a step of the wall clock then neither kills a guest early nor leaves it for hours. An agent that was
started anew does so again; what is left is never more than the grace period.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from isthmus.lib import clock

Object = dict[str, Any]
Clock = Callable[[], float]

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Notice:
    """A reason to end, and how long that may take. Equal notices are one."""

    reason: str
    grace: float  # seconds
    since: str = ""  # RFC 3339; empty: since it was first seen


def of_pod(pod: Object) -> list[Notice]:
    """That of a Pod which is being deleted. Its deletionTimestamp is the end of its grace period, not the beginning."""
    metadata = pod["metadata"]
    if not (end := metadata.get("deletionTimestamp")):
        return []
    grace = metadata.get("deletionGracePeriodSeconds")
    seconds = spec_seconds(pod) if grace is None else float(grace)
    return [Notice("the Pod is deleted", seconds, clock.timestamp(clock.parse(end) - seconds))]


def spec_seconds(obj: Object) -> float:
    """How long a Pod or VMI gives itself to end."""
    grace = obj["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_SECONDS if grace is None else float(grace)


class Deadlines:
    """The notices of this node's machines and workers, by uid. `wall` and `steady` are clocks, in seconds."""

    def __init__(self, wall: Clock = time.time, steady: Clock = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._known: dict[str, dict[Notice, float]] = {}

    def find(self, uid: str, notices: Iterable[Notice]) -> float | None:
        """When it must be gone, by the steady clock: the nearest of `notices`; None if there are none."""
        known = self._known.setdefault(uid, {})
        return min((known.setdefault(notice, self._end(notice)) for notice in notices), default=None)

    def _end(self, notice: Notice) -> float:
        passed = self._wall() - clock.parse(notice.since) if notice.since else 0.0
        return self._steady() + min(max(notice.grace - passed, 0.0), notice.grace)

    def seconds_to(self, deadline: float) -> float:
        """How long it is to a deadline; 0 if it has passed."""
        return max(0.0, deadline - self._steady())

    def forget(self, uid: str) -> None:
        """It has ended."""
        self._known.pop(uid, None)
