"""The controllers alone: `python -m isthmus.engine.controllers --home D`.

`isthmus.operations.control_loops` runs them together with the scheduler, which is what `isthmus up` starts.
"""

import argparse
import asyncio
from pathlib import Path

import uvloop

from isthmus.client import connect
from isthmus.client.cached import CachedClient
from isthmus.engine.controllers import assembly
from isthmus.lib import logs
from isthmus.lib.home import Home


async def run(home: Home) -> None:
    """Run until cancelled."""
    access = connect.find_access(home.component_kubeconfig("controllers"))
    client = connect.open_client(home.component_kubeconfig("controllers"), "isthmus-controllers")
    cluster = CachedClient(client, "isthmus-controllers")
    parts = assembly.build(cluster, home, access.server, access.ca or b"")
    cluster.start()
    try:
        await parts.run()
    finally:
        await cluster.stop()
        await client.close()


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="isthmus-controllers")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    logs.setup("controllers")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Home(arguments.home)))


if __name__ == "__main__":
    main()
