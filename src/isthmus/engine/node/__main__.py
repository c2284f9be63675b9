"""The agent's process: `python -m isthmus.engine.node --home D --node NAME`. Started and kept by the supervisor."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import uvloop

from isthmus.engine.node import agent
from isthmus.engine.node.assembly import Settings
from isthmus.lib import limits, logs
from isthmus.lib.home import Home
from isthmus.lib.locks import locked


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(agent.run(settings))
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="isthmus-agent")
    parser.add_argument("--home", type=Path, required=True, help="data directory")
    parser.add_argument("--node", default=socket.gethostname(), help="name of the Node object")
    parser.add_argument("--kubeconfig", type=Path, help="by default pki/agent-NODE.kubeconfig of the home")
    parser.add_argument("--address", default="", help="the node's address (by default that of the default route)")
    arguments = parser.parse_args()
    home = Home(arguments.home.resolve())
    kubeconfig = arguments.kubeconfig or home.component_kubeconfig(f"agent-{arguments.node}")
    os.umask(0o077)
    logs.setup("agent")
    limits.raise_open_files()
    # One that was told to end may still be at it: two agents would start each machine twice.
    with locked(home.node(arguments.node) / "agent.lock"):
        uvloop.run(serve(Settings(home, arguments.node, kubeconfig, arguments.address)))


if __name__ == "__main__":
    main()
