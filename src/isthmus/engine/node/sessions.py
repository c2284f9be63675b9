"""Consoles and screens: WebSockets joined to a machine's sockets. A new session usually ends the one that was there."""

import asyncio
import contextlib
from pathlib import Path
from weakref import WeakValueDictionary

from aiohttp import web

from isthmus.engine.node import streams
from isthmus.engine.node.addressing import Addressing
from isthmus.lib.tasks import TaskSet

REPLACE_SECONDS = 5.0

Key = tuple[str, str]  # console or vnc, uid of the machine
Session = tuple[web.WebSocketResponse, asyncio.Event]  # the event: it has ended


class Sessions:
    """The newest session of each machine's console and screen."""

    def __init__(self, addressing: Addressing, tasks: TaskSet) -> None:
        self._addressing = addressing
        self._tasks = tasks
        self._newest: dict[Key, Session] = {}
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def console(self, request: web.Request) -> web.StreamResponse:
        """The serial console. One client at a time: a new one ends the old one's session."""
        running = self._addressing.running(request)
        return await self._serve(request, ("console", running.uid), running.sockets.serial, replace=True)

    async def vnc(self, request: web.Request) -> web.StreamResponse:
        """The screen. A new session ends the present one, unless `preserveSession` asks to share it."""
        running = self._addressing.running(request)
        replace = request.query.get("preserveSession", "false") != "true"
        return await self._serve(request, ("vnc", running.uid), running.sockets.vnc, replace=replace)

    async def _serve(self, request: web.Request, key: Key, path: Path, *, replace: bool) -> web.StreamResponse:
        async with self._turns.setdefault(key, asyncio.Lock()):  # two that come at once must not both find nobody there
            if replace:
                await self._replace(key)
            reader, writer = await streams.open_socket(path)
            session = (await accept(request, writer), asyncio.Event())
            self._newest[key] = session
        try:
            await streams.splice(session[0], reader, writer)
        finally:
            session[1].set()
            if self._newest.get(key) is session:
                del self._newest[key]
        return session[0]

    async def _replace(self, key: Key) -> None:
        """QEMU's console takes one client; the next one would wait in the backlog until this one is gone."""
        if old := self._newest.get(key):
            self._tasks.spawn(old[0].close(), name=f"replaced {key[0]}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(old[1].wait(), REPLACE_SECONDS)

    async def close(self) -> None:
        """End all."""
        for socket, _ in list(self._newest.values()):
            with contextlib.suppress(OSError):
                await socket.close()


async def accept(request: web.Request, writer: asyncio.StreamWriter) -> web.WebSocketResponse:
    """Answer the upgrade. A request that is none must not leave its connection to the guest open."""
    try:
        return await streams.accept(request)
    except BaseException:
        writer.close()
        raise
