"""The node agent: runs the parts of this package until it is told to stop.

At start it finds QEMU and the networks, takes over the machines that run, and only then reconciles. When it stops, or
is killed, machines and workers run on.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from isthmus.engine.node.assembly import Parts, Settings, build
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.net.network import Network
from isthmus.engine.node.vm.host import find_host
from isthmus.engine.node.vm.machines import Machines

log = logging.getLogger(__name__)

COLLECT_SECONDS = 60.0


async def run(settings: Settings) -> None:
    """One node's agent, until cancelled."""
    for directory in (settings.directory, settings.home.run):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    host = await find_host(settings.home.run)
    log.info("QEMU %s, accelerator %s", ".".join(map(str, host.version)), host.accelerator)
    parts = build(settings, host)
    async with AsyncExitStack() as stack:  # what is opened last is closed first
        await _open(stack, parts, settings.socket)
        await _work(parts)


async def _open(stack: AsyncExitStack, parts: Parts, socket: Path) -> None:
    stack.push_async_callback(parts.client.close)
    stack.push_async_callback(parts.cached.stop)
    stack.push_async_callback(parts.network.stop)
    await parts.network.start()
    stack.push_async_callback(parts.machines.close)
    await _adopt(parts.machines, parts.network)
    stack.push_async_callback(parts.vmis.close)
    parts.cached.start()
    await stack.enter_async_context(parts.api.serve(socket))


async def _adopt(machines: Machines, network: Network) -> None:
    """Take over what runs. One machine whose network is broken must not keep the others from being looked after."""
    try:
        await network.adopt(machines.adopt())
    except NetworkError as error:
        log.error("networks of machines that run could not all be taken over: %s", error)


async def _work(parts: Parts) -> None:
    """Heartbeats from the first moment; decisions only once everything is known."""
    async with asyncio.TaskGroup() as group:
        group.create_task(parts.registration.run())
        await parts.cached.wait_synced()
        for key in parts.machines.records.known():
            parts.queue.add(key)
        for controller in parts.controllers:
            group.create_task(controller.run())
        group.create_task(_collect(parts))


async def _collect(parts: Parts) -> None:
    """Remove what is left of what is gone, round after round."""
    while True:
        await parts.images.collect()
        await parts.pods.collect()
        await parts.vmis.cleanup.collect()
        try:
            await parts.network.tidy()
        except NetworkError as error:
            log.warning("bridges that nobody needs could not be removed: %s", error)
        await asyncio.sleep(COLLECT_SECONDS)
