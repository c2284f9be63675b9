"""Acts on a machine and questions to it that are one request and one answer, and connections to its ports."""

import asyncio
import json
from typing import Any

from aiohttp import web

from isthmus.engine.node import guestapi, portforward, sessions, streams
from isthmus.engine.node.addressing import Addressing
from isthmus.engine.node.vm.machines import Machines
from isthmus.lib.tasks import TaskSet
from isthmus.machinery import errors

Object = dict[str, Any]

DIAL_SECONDS = 10.0


class MachineActs:
    """The handlers. `tasks` is for what an act leaves to be done later."""

    def __init__(self, addressing: Addressing, machines: Machines, tasks: TaskSet) -> None:
        self._addressing = addressing
        self._machines = machines
        self._tasks = tasks

    async def act(self, act: guestapi.Act, request: web.Request) -> web.StreamResponse:
        """Do `act`, with the options in the body."""
        options = await read_options(request)
        running = self._addressing.running(request)
        if not options.get("dryRun"):
            await act(running, options, self._tasks)
            running.poll()
        return web.Response(status=200)

    async def query(self, query: guestapi.Query, request: web.Request) -> web.StreamResponse:
        """Answer `query`."""
        return web.json_response(await query(self._addressing.running(request)))

    async def screenshot(self, request: web.Request) -> web.StreamResponse:
        """The screen as PNG."""
        running = self._addressing.running(request)
        image = await running.monitor.screenshot(running.sockets.directory)
        return web.Response(body=image, content_type="image/png")

    async def portforward(self, request: web.Request) -> web.StreamResponse:
        """A connection to a port of the guest: TCP a stream of bytes, UDP a message for each datagram."""
        running, port = self._addressing.running(request), read_port(request)
        protocol = request.match_info.get("protocol", "tcp")
        record = self._machines.records.read(running.uid)
        host, target = await portforward.ensure_target(running, record, port, protocol)
        if protocol == "udp":
            socket = await streams.accept(request)
            await streams.splice_datagrams(socket, host, target)
            return socket
        reader, writer = await _dial(host, target)
        socket = await sessions.accept(request, writer)
        await streams.splice(socket, reader, writer)
        return socket


async def _dial(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.wait_for(asyncio.open_connection(host, port), DIAL_SECONDS)
    except (OSError, TimeoutError) as error:
        raise errors.internal(f"dialing {host}:{port}: {error or 'timed out'}") from error


def read_port(request: web.Request) -> int:
    """The port in the path. Raises StatusError 400."""
    text = request.match_info["port"]
    port = int(text) if text.isdecimal() else 0
    if not 0 < port < 65536:
        raise errors.bad_request(f"{text!r} is no port")
    return port


async def read_options(request: web.Request) -> Object:
    """The JSON object in the body; an empty body is an empty one. Raises StatusError 400."""
    text = await request.text()
    try:
        options = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise errors.bad_request("the body is no JSON") from error
    if not isinstance(options, dict):
        raise errors.bad_request("the body is no JSON object")
    return options
