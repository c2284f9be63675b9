"""The agent's own HTTP, on a Unix socket that only the API server may use: what needs the machine itself.

Consoles, screens and port-forwards are WebSockets (`streams`); acts on a machine go to its monitor or guest agent; logs
come from files. The API server has authenticated, authorised and checked preconditions; this side answers for its own.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web

from isthmus.client.cached import CachedClient
from isthmus.engine.node import guestapi, sockets
from isthmus.engine.node.addressing import Addressing
from isthmus.engine.node.guest.agent import GuestAgentError
from isthmus.engine.node.machineacts import MachineActs
from isthmus.engine.node.podlogs import PodLogs
from isthmus.engine.node.pods import PodReconciler
from isthmus.engine.node.sessions import Sessions
from isthmus.engine.node.uploads import Uploads
from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.vm.machines import Machines
from isthmus.lib import run
from isthmus.lib.tasks import TaskSet
from isthmus.machinery import errors
from isthmus.machinery.errors import StatusError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

VMI = "/vmis/{namespace}/{name}"
BODY_LIMIT = 1 << 20  # bytes; uploads are read as streams


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong before the answer has begun becomes a Status, as Kubernetes answers errors."""
    try:
        return await handler(request)
    except StatusError as error:
        return _answer(error)
    except (MachineError, GuestAgentError, run.CommandError) as error:
        return _answer(errors.internal(str(error)))


def _answer(error: StatusError) -> web.Response:
    return web.json_response(error.status(), status=error.code)


class Api:
    """The handlers and their routes."""

    def __init__(self, cached: CachedClient, machines: Machines, pods: PodReconciler) -> None:
        addressing = Addressing(cached, machines)
        self._tasks = TaskSet()
        self._sessions = Sessions(addressing, self._tasks)
        self._acts = MachineActs(addressing, machines, self._tasks)
        self._logs = PodLogs(cached, machines, pods)
        self._uploads = Uploads(cached, self._tasks)

    def routes(self) -> list[web.RouteDef]:
        """All that can be asked for."""
        acts = self._acts
        return [
            web.get(f"{VMI}/console", self._sessions.console),
            web.get(f"{VMI}/vnc", self._sessions.vnc),
            web.get(f"{VMI}/vnc/screenshot", acts.screenshot),
            web.get(f"{VMI}/portforward/{{port}}", acts.portforward),
            web.get(f"{VMI}/portforward/{{port}}/{{protocol}}", acts.portforward),
            *(web.put(f"{VMI}/{name}", partial(acts.act, act)) for name, act in guestapi.ACTS.items()),
            *(web.get(f"{VMI}/{name}", partial(acts.query, query)) for name, query in guestapi.QUERIES.items()),
            web.get("/pods/{namespace}/{name}/log", self._logs.log),
            web.post("/upload/{namespace}/{name}", self._uploads.receive),
        ]

    def build(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[answer_errors], client_max_size=BODY_LIMIT)
        app.add_routes(self.routes())
        return app

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """Listen on `path` (mode 0600) meanwhile; an older socket of that name is replaced."""
        runner = web.AppRunner(self.build(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            with sockets.short_path(path) as name:
                await web.UnixSite(runner, name).start()
            os.chmod(path, 0o600)  # noqa: PTH101
            yield
        finally:
            await self.close()
            await runner.cleanup()

    async def close(self) -> None:
        """End the sessions and what was delayed."""
        await self._sessions.close()
        await self._tasks.close()
