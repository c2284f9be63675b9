"""Keeps a running machine's logs small: a guest may write on its console, and make QEMU complain, for ever."""

import asyncio

from isthmus.engine.node.vm.machine import Sockets
from isthmus.lib import logs

LOOK_SECONDS = 10.0
LOG_LIMIT = 16 << 20
LOG_KEPT = 4 << 20


async def keep_small(sockets: Sockets) -> None:
    """Cut the logs of one machine whenever they have grown past LOG_LIMIT bytes. Runs until cancelled."""
    while True:
        for path in (sockets.serial_log, sockets.qemu_log):
            logs.bound(path, LOG_LIMIT, LOG_KEPT)
        await asyncio.sleep(LOOK_SECONDS)
