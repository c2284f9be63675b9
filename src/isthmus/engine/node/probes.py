"""Readiness and liveness probes of VMIs: what a kubelet does for the containers of a Pod, done for a guest.

`httpGet` and `tcpSocket` go to the guest's port from outside, `exec` and `guestAgentPing` through its agent. Called by
`vmi.guestcare`: an unready guest makes an unready Pod, one that is not alive is shut down. A paused guest is not
asked: it keeps what was known of it. Source: Kubernetes' prober, KubeVirt 1.9 (virt-probe).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from isthmus.engine.node import portforward
from isthmus.engine.node.guest.agent import GuestAgentError
from isthmus.engine.node.vm.running import Running
from isthmus.lib.tasks import cancel_and_wait
from isthmus.machinery.errors import StatusError

Object = dict[str, Any]
Ask = Callable[["Target", Object, float], Awaitable[None]]

READINESS, LIVENESS = "readinessProbe", "livenessProbe"
TITLES = {READINESS: "Readiness", LIVENESS: "Liveness"}


class ProbeError(Exception):
    """The guest did not answer as it should; `str()` says how."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A probe's numbers, with Kubernetes' defaults; seconds."""

    delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Object) -> "Settings":
        """Those of `probe`."""
        return cls(
            float(probe.get("initialDelaySeconds") or 0),
            float(probe.get("periodSeconds") or 10),
            float(probe.get("timeoutSeconds") or 1),
            int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
        )


@dataclass(slots=True)
class Verdict:
    """What a row of results has led to: unready until told otherwise, alive until told otherwise."""

    good: bool
    message: str = ""
    row: int = 0  # equal results in a row
    last: bool | None = None

    def take(self, settings: Settings, error: str) -> bool:
        """Note a result (`error` is empty for a success). Whether the verdict has changed."""
        success = not error
        self.row = self.row + 1 if success is self.last else 1
        self.last, self.message = success, error
        if success is self.good or self.row < (settings.successes if success else settings.failures):
            return False
        self.good = success
        return True


@dataclass(frozen=True, slots=True)
class Target:
    """The guest that is asked: its machine, the machine's record, the names of its ports."""

    running: Running
    record: Object
    ports: dict[str, int]

    async def address(self, wanted: Any) -> tuple[str, int]:
        """Where a port of the guest, by number or name, is reached. Raises ProbeError."""
        port = self.ports.get(str(wanted)) or (int(wanted) if str(wanted).isdecimal() else 0)
        if not 0 < port < 65536:
            raise ProbeError(f"the VMI has no port named {wanted!r}")
        try:
            return await portforward.ensure_target(self.running, self.record, port, "tcp")
        except StatusError as error:
            raise ProbeError(error.message) from error


async def _http_get(target: Target, probe: Object, timeout: float) -> None:
    host, port = await target.address(probe.get("port"))
    scheme = str(probe.get("scheme") or "HTTP").lower()
    path = str(probe.get("path") or "/")
    url = f"{scheme}://{probe.get('host') or host}:{port}{path if path.startswith('/') else f'/{path}'}"
    headers = {str(h["name"]): str(h.get("value") or "") for h in probe.get("httpHeaders") or ()}
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer,
        ):
            if not 200 <= answer.status < 400:
                raise ProbeError(f"HTTP probe failed with statuscode: {answer.status}")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise ProbeError(f'Get "{url}": {error or "no answer in time"}') from error


async def _tcp_socket(target: Target, probe: Object, timeout: float) -> None:
    host, port = await target.address(probe.get("port"))
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(probe.get("host") or host, port)
    except (OSError, TimeoutError) as error:
        raise ProbeError(f"dial tcp {host}:{port}: {error or 'no answer in time'}") from error
    writer.close()


async def _exec(target: Target, probe: Object, timeout: float) -> None:
    path, *arguments = [str(part) for part in probe.get("command") or ()] or [""]
    if not path:
        raise ProbeError("the probe has no command")
    try:
        code = await target.running.agent.execute(path, arguments, timeout)
    except GuestAgentError as error:
        raise ProbeError(str(error)) from error
    if code:
        raise ProbeError(f"{path} exited with {code}")


async def _guest_agent_ping(target: Target, _probe: Object, timeout: float) -> None:
    try:
        await target.running.agent.ping(timeout)
    except GuestAgentError as error:
        raise ProbeError(str(error)) from error


HANDLERS: dict[str, Ask] = {
    "httpGet": _http_get,
    "tcpSocket": _tcp_socket,
    "exec": _exec,
    "guestAgentPing": _guest_agent_ping,
}


async def ask(target: Target, probe: Object) -> str:
    """Probe once; what is wrong, or an empty text."""
    kind = next((kind for kind in HANDLERS if probe.get(kind) is not None), "")
    try:
        if kind:
            await HANDLERS[kind](target, probe[kind], Settings.of(probe).timeout)
    except ProbeError as error:
        return str(error)
    return ""


def named_ports(vmi: Object) -> dict[str, int]:
    """The ports that the VMI's interfaces name."""
    interfaces = (vmi["spec"]["domain"].get("devices") or {}).get("interfaces") or ()
    return {p["name"]: int(p["port"]) for i in interfaces for p in i.get("ports") or () if p.get("name")}


class Prober:
    """The probes of this node's machines."""

    def __init__(self) -> None:
        self._verdicts: dict[str, dict[str, Verdict]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def ensure(
        self, vmi: Object, running: Running, record: Object, on_change: Callable[[], None], *, ready: bool
    ) -> None:
        """Probe this machine from now on, as its VMI says; `on_change` is called when a verdict changes.

        `ready`: what was known of it, by an agent before this one.
        """
        uid = running.uid
        if uid in self._tasks:
            return
        target = Target(running, record, named_ports(vmi))
        probes = {kind: vmi["spec"][kind] for kind in TITLES if vmi["spec"].get(kind)}
        self._verdicts[uid] = {kind: Verdict(ready or kind == LIVENESS) for kind in probes}
        self._tasks[uid] = [
            asyncio.create_task(_watch(target, probe, self._verdicts[uid][kind], on_change), name=f"{kind} {uid}")
            for kind, probe in probes.items()
        ]

    def knows(self, uid: str) -> bool:
        """Whether this machine is probed."""
        return uid in self._verdicts

    def verdict(self, uid: str, kind: str) -> Verdict:
        """What is known; without such a probe a guest is ready and alive."""
        return self._verdicts.get(uid, {}).get(kind) or Verdict(good=True)

    async def stop(self, uid: str) -> None:
        """Ask this machine no more."""
        self._verdicts.pop(uid, None)
        await cancel_and_wait(self._tasks.pop(uid, []))

    async def close(self) -> None:
        """Ask nobody any more."""
        for uid in list(self._tasks):
            await self.stop(uid)


async def _watch(target: Target, probe: Object, verdict: Verdict, on_change: Callable[[], None]) -> None:
    settings = Settings.of(probe)
    await asyncio.sleep(settings.delay)
    while not target.running.ended:
        if target.running.state == "running":
            before = verdict.message
            if verdict.take(settings, await ask(target, probe)) or verdict.message != before:
                on_change()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(target.running.wait_ended(), settings.period)
