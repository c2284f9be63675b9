"""`isthmus down --vms`: shut the machines of a home down once its platform is down, as a host's shutdown would.

The objects are not touched: at the next `up` each VM does what its run strategy says of a guest that has shut down.
What the machines had on the host goes with them: network namespaces, bridges, address translation, cgroups.
"""

import asyncio
import logging
from pathlib import Path

from isthmus.engine.node.net.network import Network, NetworkError
from isthmus.engine.node.vm import cgroup, process
from isthmus.engine.node.vm.machine import Sockets
from isthmus.engine.node.vm.running import Running
from isthmus.lib.home import Home

log = logging.getLogger(__name__)

GRACE_SECONDS = 30.0


def shut_down(home: Home) -> tuple[int, int]:
    """Ask every guest to power off, end what has not done so within the grace period: how many heeded, how many not."""
    return asyncio.run(_shut_down_all(home))


async def _shut_down_all(home: Home) -> tuple[int, int]:
    directories = sorted((home.root / "nodes").glob("*/vms/*"))
    heeded = await asyncio.gather(*(_shut_down(d) for d in directories))
    for directory in sorted((home.root / "nodes").glob("*/")):
        await _clean(directory, directory.name)
    return heeded.count(True), heeded.count(False)


async def _clean(directory: Path, node: str) -> None:
    try:
        await Network(directory / "net", node).remove()
    except NetworkError as error:
        log.warning("networks of node %s stay behind: %s", node, error)
    cgroup.remove_node(node)


async def _shut_down(directory: Path) -> bool | None:
    """Whether the guest heeded; None if no machine runs there."""
    sockets = Sockets(directory)
    held = process.find(sockets)
    if held is None:
        return None
    machine = Running(directory.name, sockets, held, lambda: None)
    watching = asyncio.create_task(machine.watch())
    machine.poll()
    await machine.shut_down(GRACE_SECONDS)
    await watching
    return process.find_exit(sockets) is not process.Exit.DESTROYED
