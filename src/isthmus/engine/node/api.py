"""The agent's own HTTP, on a Unix socket that only the API server may use: what needs the machine itself.

Consoles, screens and port-forwards are WebSockets (`streams`); acts on a machine go to its monitor or guest agent; logs
come from files. The API server has authenticated, authorised and checked preconditions; this side answers for its own.
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import guestapi, launchers, logfiles, podstatus, portforward, sockets, streams
from isthmus.engine.node.guest.agent import GuestAgentError
from isthmus.engine.node.pods import PodReconciler
from isthmus.engine.node.uploads import Uploads
from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.running import Running
from isthmus.lib import logs, run
from isthmus.lib.tasks import TaskSet
from isthmus.machinery import errors
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

Object = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONSOLE_LOG = "guest-console-log"


def status_response(error: StatusError) -> web.Response:
    """A Status, as Kubernetes answers errors."""
    return web.json_response(error.status(), status=error.code)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong before the answer has begun becomes a Status."""
    try:
        return await handler(request)
    except StatusError as error:
        return status_response(error)
    except (MachineError, GuestAgentError, run.CommandError) as error:
        return status_response(errors.internal(str(error)))


class Api:
    """Holds what the handlers share."""

    def __init__(self, cached: CachedClient, node: str, machines: Machines, pods: PodReconciler) -> None:
        self._cached = cached
        self._node = node
        self._machines = machines
        self._pods = pods
        self._sessions: dict[tuple[str, str], tuple[web.WebSocketResponse, asyncio.Event]] = {}
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks = TaskSet()
        self._uploads = Uploads(cached, self._tasks)

    def build(self) -> web.Application:
        """The application with all its routes."""
        app = web.Application(middlewares=[answer_errors], client_max_size=1 << 20)
        vmi = "/vmis/{namespace}/{name}"
        app.router.add_get(f"{vmi}/console", self.console)
        app.router.add_get(f"{vmi}/vnc", self.vnc)
        app.router.add_get(f"{vmi}/vnc/screenshot", self.screenshot)
        app.router.add_get(f"{vmi}/portforward/{{port}}", self.portforward)
        app.router.add_get(f"{vmi}/portforward/{{port}}/{{protocol}}", self.portforward)
        for name, act in guestapi.ACTS.items():
            app.router.add_put(f"{vmi}/{name}", partial(self._act, act))
        for name, query in guestapi.QUERIES.items():
            app.router.add_get(f"{vmi}/{name}", partial(self._query, query))
        app.router.add_get("/pods/{namespace}/{name}/log", self.log)
        app.router.add_post("/upload/{namespace}/{name}", self._uploads.receive)
        return app

    async def serve(self, path: Path) -> web.AppRunner:
        """Listen on `path` (mode 0600); an older socket of that name is replaced."""
        runner = web.AppRunner(self.build(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with sockets.short_path(path) as name:
            await web.UnixSite(runner, name).start()
        os.chmod(path, 0o600)  # noqa: PTH101
        return runner

    async def close(self) -> None:
        """End the sessions and what was delayed."""
        for socket, _ in self._sessions.values():
            with contextlib.suppress(OSError):
                await socket.close()
        await self._tasks.close()

    def _running(self, request: web.Request) -> Running:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        vmi = self._cached.get(resources.VMIS, namespace, name)
        running = self._machines.find(vmi["metadata"]["uid"]) if vmi else None
        if running is None:
            raise errors.conflict("kubevirt.io", "virtualmachineinstance", name, "it does not run on this node")
        return running

    # --- consoles ---------------------------------------------------------------------------------------------------

    async def console(self, request: web.Request) -> web.StreamResponse:
        """The serial console. One client at a time: a new one ends the old one's session."""
        running = self._running(request)
        return await self._session(request, "console", running.uid, running.sockets.serial, replace=True)

    async def vnc(self, request: web.Request) -> web.StreamResponse:
        """The screen. A new session ends the present one, unless `preserveSession` asks to share it."""
        running = self._running(request)
        replace = request.query.get("preserveSession", "false") != "true"
        return await self._session(request, "vnc", running.uid, running.sockets.vnc, replace=replace)

    async def _session(
        self, request: web.Request, kind: str, uid: str, path: Path, *, replace: bool
    ) -> web.StreamResponse:
        key = (kind, uid)
        async with self._turns.setdefault(key, asyncio.Lock()):  # two that come at once must not both find nobody there
            if replace:
                await self._replace(key)
            reader, writer = await streams.open_socket(path)
            entry = (await _accept(request, writer), asyncio.Event())
            self._sessions[key] = entry
        try:
            await streams.splice(entry[0], reader, writer)
        finally:
            entry[1].set()
            if self._sessions.get(key) is entry:
                del self._sessions[key]
        return entry[0]

    async def _replace(self, key: tuple[str, str]) -> None:
        """QEMU's console takes one client; the next one would wait in the backlog until this one is gone."""
        if old := self._sessions.get(key):
            self._tasks.spawn(old[0].close(), name=f"replaced {key[0]}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(old[1].wait(), 5)

    async def screenshot(self, request: web.Request) -> web.StreamResponse:
        """The screen as PNG."""
        running = self._running(request)
        image = await running.monitor.screenshot(running.sockets.directory)
        return web.Response(body=image, content_type="image/png")

    async def portforward(self, request: web.Request) -> web.StreamResponse:
        """A connection to a port of the guest."""
        running = self._running(request)
        try:
            port = int(request.match_info["port"])
        except ValueError:
            port = 0
        if not 0 < port < 65536:
            raise errors.bad_request(f"{request.match_info['port']!r} is no port")
        protocol = request.match_info.get("protocol", "tcp")
        record = self._machines.record(running.uid)
        host, target = await portforward.ensure_target(running, record, port, protocol)
        if protocol == "udp":
            socket = await streams.accept(request)
            await streams.splice_datagrams(socket, host, target)
            return socket
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, target), 10)
        except (OSError, TimeoutError) as error:
            raise errors.internal(f"dialing {host}:{target}: {error or 'timed out'}") from error
        socket = await _accept(request, writer)
        await streams.splice(socket, reader, writer)
        return socket

    # --- acts and queries -------------------------------------------------------------------------------------------

    async def _act(self, act: guestapi.Act, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        try:
            options = json.loads(text) if text.strip() else {}
        except ValueError as error:
            raise errors.bad_request("the body is no JSON") from error
        if not isinstance(options, dict):
            raise errors.bad_request("the body is no JSON object")
        running = self._running(request)
        if not options.get("dryRun"):
            await act(running, options, self._tasks)
            running.poll()
        return web.Response(status=200)

    async def _query(self, query: guestapi.Query, request: web.Request) -> web.StreamResponse:
        return web.json_response(await query(self._running(request)))

    # --- logs -------------------------------------------------------------------------------------------------------

    async def log(self, request: web.Request) -> web.StreamResponse:
        """pods/log: the guest's serial console, QEMU's own words, or a worker's output."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        pod = self._cached.get(resources.PODS, namespace, name)
        if pod is None:
            raise errors.not_found("", "pods", name)
        wanted = _wanted(request)
        paths, is_live = self._find_log(pod, request.query.get("container", ""))
        if not any(path.exists() for path in paths) and not is_live():
            raise errors.bad_request(f"pod {name} has no log: its container has not started, or was removed")
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for chunk in logfiles.read(paths, wanted, is_live):
                await response.write(chunk)
            await response.write_eof()
        return response

    def _find_log(self, pod: Object, container: str) -> tuple[list[Path], Callable[[], bool]]:
        names = [entry["name"] for entry in pod["spec"].get("containers") or ()]
        container = container or names[0]
        if container not in names:
            raise errors.bad_request(f"container {container} is not valid for pod {pod['metadata']['name']}")
        if (key := launchers.launcher_key(pod)) is None:
            uid = pod["metadata"]["uid"]
            return [self._pods.files(uid).log], partial(self._pod_lives, pod)
        uid = (pod["metadata"].get("labels") or {}).get(launchers.CREATED_BY, "")
        if self._machines.owner(uid) not in (None, key):  # a label is anybody's to write
            raise errors.bad_request(f"pod {pod['metadata']['name']} is not of the machine that its labels name")
        found = self._machines.sockets(uid)
        if container == CONSOLE_LOG:
            return [logs.former(found.serial_log), found.serial_log], partial(self._pod_lives, pod)
        return [logs.former(found.qemu_log), found.qemu_log], partial(self._pod_lives, pod)

    def _pod_lives(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        now = self._cached.get(resources.PODS, metadata["namespace"], metadata["name"])
        return now is not None and now["metadata"]["uid"] == metadata["uid"] and not podstatus.is_final(now)


async def _accept(request: web.Request, writer: asyncio.StreamWriter) -> web.WebSocketResponse:
    """Answer the upgrade. A request that is none must not leave its connection to the guest open."""
    try:
        return await streams.accept(request)
    except BaseException:
        writer.close()
        raise


def _wanted(request: web.Request) -> logfiles.Wanted:
    def number(key: str) -> int | None:
        text = request.query.get(key)
        if text is None:
            return None
        if not text.isdigit():
            raise errors.bad_request(f"{key}={text}: expected a number that is not negative")
        return int(text)

    def flag(key: str) -> bool:
        return request.query.get(key, "false") in ("true", "1")

    return logfiles.Wanted(flag("follow"), number("tailLines"), number("limitBytes"), flag("timestamps"))
