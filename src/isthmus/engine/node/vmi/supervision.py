"""A VMI while its machine runs: its guest is looked after, its status told, and its end asked for when it is due."""

from collections.abc import Callable
from typing import Any

from isthmus.engine.node import graceperiods, launchers, status
from isthmus.engine.node.graceperiods import Deadlines, Notice
from isthmus.engine.node.jobs import Jobs
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.running import Running
from isthmus.engine.node.vmi.guestcare import GuestCare
from isthmus.engine.node.vmi.reporter import Reporter
from isthmus.engine.node.writer import Writer

Object = dict[str, Any]
Key = tuple[str, str]

NEARER_SECONDS = 1.0  # a deadline that moved by less, by the rounding of timestamps, is the same


class Supervision:
    """Remembers which guests were asked to power off, and by when; an agent after this one asks them again."""

    def __init__(
        self,
        machines: Machines,
        care: GuestCare,
        reporter: Reporter,
        writer: Writer,
        enqueue: Callable[[Key], None],
        deadlines: Deadlines,
    ) -> None:
        self._machines = machines
        self._care = care
        self._reporter = reporter
        self._recorder = writer.recorder
        self._enqueue = enqueue
        self._deadlines = deadlines
        self._told: dict[str, float] = {}  # the deadline that each guest was told last
        self._shutdowns: Jobs[None] = Jobs()

    async def step(self, key: Key, vmi: Object, pod: Object | None, running: Running) -> None:
        """Look at the machine once."""
        if (vmi.get("status") or {}).get("phase") in status.FINAL:
            running.destroy()  # it was given up (a lost node that came back): it must not run twice
            return
        notices = launchers.find_notices(vmi, pod) or await self._look_after(key, vmi, pod, running)
        deadline = self._deadlines.find(running.uid, notices)
        if deadline is not None:
            await self._shut_down(key, vmi, running, deadline)
        if running.state and not running.ended:
            await self._reporter.report(vmi, pod, running)

    async def _look_after(self, key: Key, vmi: Object, pod: Object | None, running: Running) -> list[Notice]:
        """A guest that is not alive any more has to end, too."""
        record = self._machines.records.read(running.uid)
        if await self._care.look_after(vmi, pod, running, record, lambda: self._enqueue(key)):
            return []
        if running.uid not in self._told and pod is not None:
            await self._recorder.normal(pod, "Killing", "Container compute failed liveness probe")
        return [Notice("the guest is not alive", graceperiods.spec_seconds(vmi))]

    async def _shut_down(self, key: Key, vmi: Object, running: Running, deadline: float) -> None:
        """Ask for a shutdown once; again only if the deadline came nearer (deletion by force)."""
        uid = running.uid
        told = self._told.get(uid)
        if told is not None and deadline >= told - NEARER_SECONDS:
            return
        if told is None:
            await self._recorder.normal(vmi, "ShuttingDown", "Signaled Graceful Shutdown")
        self._told[uid] = deadline
        await self._shutdowns.cancel(uid)
        seconds = self._deadlines.seconds_to(deadline)
        self._shutdowns.start(uid, lambda: running.shut_down(seconds), lambda: self._enqueue(key))

    async def forget(self, uid: str) -> None:
        """The machine has ended, or is to be ended at once."""
        self._told.pop(uid, None)
        self._deadlines.forget(uid)
        await self._shutdowns.cancel(uid)
        await self._care.forget(uid)

    async def close(self) -> None:
        """End our jobs; machines run on."""
        await self._care.close()
        await self._shutdowns.close()
