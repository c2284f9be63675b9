"""`isthmus up --systemd`: one unit that runs the supervisor, so that the platform comes up with the machine."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from isthmus.lib import run
from isthmus.lib.home import Home
from isthmus.operations import lifecycle

UNIT = "isthmus.service"

TEMPLATE = """[Unit]
Description=Isthmus: Kubernetes for virtual machines and containers on this machine
After=network.target

[Service]
Type=exec
ExecStart={command}
# Not when `isthmus down` has ended it.
Restart=on-failure
RestartSec=1
# VMs are no part of the platform's own life: they go on when it stops.
KillMode=process
UMask=0077
StandardError=append:{log}

[Install]
WantedBy={target}
"""


def unit(home: Home, port: int, nodes: Sequence[str], *, root: bool) -> str:
    """The text of the unit."""
    command = " ".join(_escaped(a) for a in lifecycle.supervisor_argv(home, port, nodes))
    target = "multi-user.target" if root else "default.target"
    return TEMPLATE.format(command=command, log=home.logs / "supervisor.log", target=target)


def install(home: Home, port: int, nodes: Sequence[str]) -> None:
    """Write, enable and start the unit; a user's own one without root. Raises LifecycleError."""
    root = os.geteuid() == 0
    directory = Path("/etc/systemd/system") if root else Path.home() / ".config/systemd/user"
    systemctl = ["systemctl"] if root else ["systemctl", "--user"]
    if not Path("/run/systemd/system").is_dir():
        raise lifecycle.LifecycleError("systemd does not run on this machine: leave --systemd out")
    lifecycle.prepare(home, port, nodes)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / UNIT).write_text(unit(home, port, nodes, root=root))
    try:
        asyncio.run(_run([[*systemctl, "daemon-reload"], [*systemctl, "enable", "--now", UNIT]]))
    except run.CommandError as error:
        raise lifecycle.LifecycleError(f"the unit {directory / UNIT} could not be started: {error}") from error
    lifecycle.wait_ready(home, port)


async def _run(commands: list[list[str]]) -> None:
    for command in commands:
        await run.run(command)


def _escaped(argument: str) -> str:
    """systemd.service(5), "Command lines": quotes, and % and $ doubled."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
