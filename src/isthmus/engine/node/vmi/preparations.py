"""The VMIs that are being prepared on this node: each is at work, prepared, or waits for its next try.

Called by `startup` at each look at a VMI whose machine does not run yet. After a restart of the agent all is done
again, which finds what is there.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isthmus.engine.node.jobs import Jobs
from isthmus.engine.node.vmi.backoff import Failure, Retries, Waiting
from isthmus.engine.node.vmi.preparing import Prepared, Preparer
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]


@dataclass(slots=True)
class _Tries:
    """What is known of one VMI: it has been prepared, or the last try has failed, or neither yet."""

    retries: Retries = field(default_factory=Retries)
    prepared: Prepared | None = None
    failure: Failure | None = None
    spec: Object = field(default_factory=dict)  # of the last try,
    local_images: list[Any] = field(default_factory=list)  # which began with these images here


class Preparations:
    """At most one try at a time for each VMI. `enqueue`: a try has ended. `steady` is a clock, in seconds."""

    def __init__(
        self, preparer: Preparer, enqueue: Callable[[Key], None], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._preparer = preparer
        self._enqueue = enqueue
        self._steady = steady
        self._jobs: Jobs[Prepared] = Jobs()
        self._known: dict[str, _Tries] = {}

    def advance(self, key: Key, vmi: Object, pod: Object) -> Prepared | Waiting | None:
        """What was prepared, or why it cannot be yet; None while it is at work. Starts a try that is due."""
        uid = vmi["metadata"]["uid"]
        known = self._known.setdefault(uid, _Tries())
        if known.prepared or self._jobs.running(uid):
            return known.prepared
        try:
            known.prepared = self._jobs.take(uid)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told on the Pod and tried again)
            self._note(key, known, error)
        if known.prepared:
            return known.prepared
        if known.failure and not self._is_due(vmi, known, known.failure):
            return known.failure.tell(self._steady())
        known.spec, known.local_images = vmi["spec"], self._preparer.local_images(vmi)
        self._jobs.start(uid, lambda: self._preparer.prepare(vmi, pod), lambda: self._enqueue(key))
        return None

    def _note(self, key: Key, known: _Tries, error: Exception) -> None:
        if not isinstance(error, StatusError) and not hasattr(error, "reason"):
            log.error("preparing %s/%s failed", *key, exc_info=error)
        known.failure = known.retries.note(error, known.spec, self._steady())

    def _is_due(self, vmi: Object, known: _Tries, failure: Failure) -> bool:
        """Its time has come, or there is something new: another spec, an image that was loaded meanwhile."""
        if not failure.tell(self._steady()).seconds or vmi["spec"] != known.spec:
            return True
        return self._preparer.local_images(vmi) != known.local_images

    async def forget(self, uid: str) -> None:
        """End what is at work for this VMI; nothing is known of it any more."""
        self._known.pop(uid, None)
        await self._jobs.cancel(uid)

    async def close(self) -> None:
        """End all that is at work."""
        await self._jobs.close()
