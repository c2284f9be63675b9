"""What is done for a guest while it runs: its probes, its access credentials, and the events that tell of both.

Called by `supervision` at each look at a running machine. Keeps no truth: after a restart of the agent all begins anew.
"""

from collections.abc import Callable
from typing import Any

from isthmus.client.cached import CachedClient
from isthmus.engine.node import launchers, podstatus, probes
from isthmus.engine.node.credentials import Credentials
from isthmus.engine.node.vm.running import Running
from isthmus.machinery import conditions

Object = dict[str, Any]


class GuestCare:
    """The guests of this node."""

    def __init__(self, cached: CachedClient) -> None:
        self._recorder = cached.recorder
        self._prober = probes.Prober()
        self._credentials = Credentials(cached.client)
        self._complaints: dict[tuple[str, str], str] = {}  # what was said last of a probe, by uid and kind

    async def look_after(
        self, vmi: Object, pod: Object | None, running: Running, record: Object, on_change: Callable[[], None]
    ) -> bool:
        """Whether the guest is alive, as far as its liveness probe tells. `on_change`: look again."""
        uid = running.uid
        self._prober.ensure(vmi, running, record, on_change, ready=pod is not None and podstatus.is_ready(pod))
        self._credentials.ensure(vmi, running, on_change)
        for kind, title in probes.TITLES.items():
            message = self._prober.verdict(uid, kind).message
            if pod is not None and message and message != self._complaints.get((uid, kind)):
                await self._recorder.warning(pod, "Unhealthy", f"{title} probe failed: {message}")
            self._complaints[uid, kind] = message
        await self._report_credentials(vmi, uid)
        return self._prober.verdict(uid, probes.LIVENESS).good

    async def _report_credentials(self, vmi: Object, uid: str) -> None:
        """One event for each change of the outcome: the condition holds what was told last."""
        if (error := self.credentials_error(uid)) is None:
            return
        told = conditions.of(vmi, "AccessCredentialsSynchronized") or {}
        if (told.get("status"), told.get("message", "")) == ("False" if error else "True", error):
            return
        if error:
            await self._recorder.warning(vmi, "AccessCredentialsSyncFailed", f"Access credentials sync failed: {error}")
        else:
            await self._recorder.normal(vmi, "AccessCredentialsSyncSuccess", "Access credentials sync successful.")

    def unready(self, vmi: Object, uid: str) -> str:
        """The container that a readiness probe, failing or not asked yet, makes unready; empty if there is none."""
        good = self._prober.verdict(uid, probes.READINESS).good
        asked = self._prober.knows(uid) or not vmi["spec"].get(probes.READINESS)
        return "" if good and asked else launchers.COMPUTE

    def credentials_error(self, uid: str) -> str | None:
        """What is wrong with the guest's access credentials; None before they were tried."""
        outcome = self._credentials.outcome(uid)
        return outcome.error if outcome else None

    async def forget(self, uid: str) -> None:
        """The guest has ended."""
        await self._prober.stop(uid)
        await self._credentials.stop(uid)
        for kind in probes.TITLES:
            self._complaints.pop((uid, kind), None)

    async def close(self) -> None:
        """End our jobs; the guests run on."""
        await self._prober.close()
        await self._credentials.close()
