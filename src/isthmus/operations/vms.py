"""`isthmus down --vms`: shut the machines of a home down once its platform is down, as a host's shutdown would.

The objects are not touched. At the next `up` each VM does what its run strategy says of an instance that was ended
with its node, which is no success: Always and RerunOnFailure run it again.
What the machines had on the host goes with them: network namespaces, bridges, address translation, cgroups.
"""

import asyncio
import logging
from pathlib import Path

from isthmus.engine.node.launchers import DEFAULT_GRACE
from isthmus.engine.node.net.network import Network, NetworkError
from isthmus.engine.node.vm import cgroup, process
from isthmus.engine.node.vm.machine import Sockets
from isthmus.engine.node.vm.running import Running
from isthmus.lib.home import Home

log = logging.getLogger(__name__)

LONGEST_GRACE = 300.0  # a host waits no longer for a guest, whatever its VM allows
CLEANING_SECONDS = 30.0  # for networks and cgroups, at most


def shut_down(home: Home) -> tuple[int, int]:
    """Ask every guest to power off, end what has not done so within its VM's grace period: how many heeded, how many
    not."""
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
    """Whether the guest heeded; None if no machine runs there.

    Why it ended is said only afterwards: a host that stays up after all must not take a later end for this one.
    """
    sockets = Sockets(directory)
    held = process.find(sockets)
    if held is None:
        return None
    machine = Running(directory.name, sockets, held, lambda: None)
    watching = asyncio.create_task(machine.watch())
    machine.poll()
    grace = float(str(process.read_json(directory / "machine.json").get("graceSeconds", DEFAULT_GRACE)))
    await machine.shut_down(min(grace, LONGEST_GRACE))
    await watching
    reason = process.find_exit(sockets)
    if reason in (process.Exit.SHUTDOWN, process.Exit.DESTROYED):
        process.record_exit(sockets, process.Exit.NODE_SHUTDOWN, replace=True)
    return reason is not process.Exit.DESTROYED
