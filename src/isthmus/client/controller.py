"""The loop around a reconcile function: take a key, bring its object a step nearer to what is wanted, try again later.

Used by the engine's controllers and scheduler, the node agents and the importer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import prometheus_client

from isthmus.client.api import Object
from isthmus.client.informer import Informer, Key, key_of
from isthmus.client.workqueue import WorkQueue
from isthmus.lib import logs
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

RECONCILES = prometheus_client.Counter(
    "isthmus_reconcile_total", "Reconciliations by controller and result", ["controller", "result"]
)
SECONDS = prometheus_client.Histogram("isthmus_reconcile_seconds", "Duration of a reconciliation", ["controller"])
DEPTH = prometheus_client.Gauge("isthmus_workqueue_depth", "Keys waiting", ["controller"])

Reconcile = Callable[[Key], Awaitable[float | None]]
KeysOf = Callable[[Object], "list[Key]"]


class Controller:
    """`workers` tasks that call `reconcile((namespace, name))`, for one key never two at once.

    The answer is None, or seconds after which to look again. A StatusError 404 or 409 means that our copy was old and
    another event is on its way: retried without noise. Any other exception is logged and retried with back-off.
    """

    def __init__(self, name: str, reconcile: Reconcile, queue: WorkQueue[Key] | None = None, workers: int = 1) -> None:
        self.name = name
        self.reconcile = reconcile
        self.queue: WorkQueue[Key] = queue if queue is not None else WorkQueue()
        self.workers = workers
        DEPTH.labels(name).set_function(lambda: len(self.queue))

    def watch(self, informer: Informer, keys_of: KeysOf | None = None) -> None:
        """Queue what a change of the informer's objects touches: itself, or what `keys_of` names."""
        names = keys_of or (lambda obj: [key_of(obj)])

        def changed(old: Object | None, new: Object | None) -> None:
            for key in {*(names(old) if old else ()), *(names(new) if new else ())}:
                self.queue.add(key)

        informer.on_change(changed)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.workers):
                    group.create_task(self._work(), name=f"{self.name} {number}")
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._reconcile(key)
            finally:
                self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        started = time.perf_counter()
        result = "success"
        try:
            again = await self.reconcile(key)
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
        except StatusError as error:
            result = "conflict" if error.code in {404, 409} else "error"
            level = logging.DEBUG if result == "conflict" or error.code == 503 else logging.WARNING
            self._failed(key, level, error.message)
        except Exception as error:  # noqa: BLE001 (one object must not stop the others)
            result = "error"
            self._failed(key, logging.ERROR, str(error), error)
        RECONCILES.labels(self.name, result).inc()
        SECONDS.labels(self.name).observe(time.perf_counter() - started)

    def _failed(self, key: Key, level: int, message: str, error: Exception | None = None) -> None:
        fields = logs.fields(
            controller=self.name, object="/".join(filter(None, key)), tries=self.queue.retries(key) + 1
        )
        log.log(level, "%s", message, exc_info=error, extra=fields)
        self.queue.add_rate_limited(key)
