"""How long a VMI that could not be prepared waits for the next try, and what is said meanwhile. Pure but for its count.

The kubelet's paces: pulls of images 10 s, doubled up to 300 s (MaxContainerBackOff); volumes 0.5 s, doubled up to 122 s
(volume/util exponentialbackoff). Asking the API again is a matter of seconds.
"""

from dataclasses import dataclass
from typing import Any

from isthmus.engine.node.vmi.preparing import PullError
from isthmus.lib.tasks import Backoff
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]

PULL, VOLUME, API = (10.0, 300.0), (0.5, 122.0), (0.5, 10.0)  # the first delay and the longest, in seconds
ERROR_SECONDS = 2.0  # how long ErrImagePull is shown before ImagePullBackOff takes its place


def pace_of(error: Exception) -> tuple[float, float]:
    """The delays that fit to what went wrong."""
    if isinstance(error, PullError):
        return PULL
    return API if isinstance(error, StatusError) else VOLUME


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a container that waits says, and the seconds to the next try."""

    reason: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """One try that failed; times in seconds of one steady clock."""

    reason: str
    message: str
    image: str  # the image that could not be had, if it was that
    at: float
    delay: float  # to the next try

    def tell(self, now: float) -> Waiting:
        """What is to be said now: first what went wrong, then the kubelet's word for a pull that is not tried yet."""
        seconds = max(0.0, self.at + self.delay - now)
        if self.reason != "ErrImagePull" or now < self.at + ERROR_SECONDS:
            return Waiting(self.reason, self.message, seconds)
        message = f'Back-off pulling image "{self.image}": {self.reason}: {self.message}'
        return Waiting("ImagePullBackOff", f"{message} (tried again after {self.delay:g} s)", seconds)


class Retries:
    """The failures of one VMI in a row. They count from the beginning when the cause is another."""

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._cause: tuple[Any, ...] = ()

    def note(self, error: Exception, spec: Object, now: float) -> Failure:
        """Another try, for a VMI with that `spec`, has failed."""
        reason = str(getattr(error, "reason", "") or "CreateContainerError")
        cause = (reason, getattr(error, "image", ""), spec)
        if cause != self._cause:
            base, cap = pace_of(error)
            self._cause, self._backoff = cause, Backoff(base, cap, jitter=0)
        image = str(getattr(error, "image", ""))
        return Failure(reason, str(error) or type(error).__name__, image, now, self._backoff.next())
