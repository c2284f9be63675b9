"""`isthmus up --systemd`: the platform comes up with the machine, and its guests are shut down before the machine is.

Two units: the supervisor, and one that does nothing but at its end, which comes before the supervisor's when the
machine goes down. A user's own units without root.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from isthmus.lib import run
from isthmus.lib.home import Home
from isthmus.operations import lifecycle, vms

PLATFORM = "isthmus.service"
GUESTS = "isthmus-guests.service"

# KillMode, OOMPolicy: VMs are no part of the platform's own life, they go on when it stops and when one of them ends.
# Restart: not when `isthmus down` has ended it. Delegate: the agent makes cgroups for VMs.
PLATFORM_TEMPLATE = """[Unit]
Description=Isthmus: Kubernetes for virtual machines and containers on this machine
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=1
KillMode=process
OOMPolicy=continue
TasksMax=infinity
Delegate=yes
UMask=0077
StandardError=append:{log}

[Install]
WantedBy={target}
"""

GUESTS_TEMPLATE = """[Unit]
Description=Isthmus: shuts virtual machines down with this machine
After={platform}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop={command}
TimeoutStopSec={seconds:.0f}

[Install]
WantedBy={target}
"""


def units(home: Home, port: int, nodes: Sequence[str], *, root: bool) -> dict[str, str]:
    """The text of each unit, by its name."""
    target = "multi-user.target" if root else "default.target"
    supervisor = _command(lifecycle.supervisor_argv(home, port, nodes))
    down = _command([sys.executable, "-m", "isthmus.cli", "down", "--vms", "--data-dir", str(home.root)])
    seconds = lifecycle.DOWN_SECONDS + vms.LONGEST_GRACE + vms.CLEANING_SECONDS
    return {
        PLATFORM: PLATFORM_TEMPLATE.format(command=supervisor, log=home.logs / "supervisor.log", target=target),
        GUESTS: GUESTS_TEMPLATE.format(platform=PLATFORM, command=down, seconds=seconds, target=target),
    }


def install(home: Home, port: int, nodes: Sequence[str]) -> None:
    """Write, enable and start the units, and wait until the platform is ready. Raises LifecycleError."""
    root = os.geteuid() == 0
    directory = Path("/etc/systemd/system") if root else Path.home() / ".config/systemd/user"
    systemctl = ["systemctl"] if root else ["systemctl", "--user"]
    if not Path("/run/systemd/system").is_dir():
        raise lifecycle.LifecycleError("systemd does not run on this machine: leave --systemd out")
    _refuse_another_home(directory / PLATFORM, home)
    lifecycle.prepare(home, port, nodes)
    directory.mkdir(parents=True, exist_ok=True)
    written = units(home, port, nodes, root=root)
    for name, text in written.items():
        (directory / name).write_text(text)
    try:
        asyncio.run(_start([*systemctl], home, list(written)))
    except run.CommandError as error:
        raise lifecycle.LifecycleError(f"the units in {directory} could not be started: {error}") from error
    lifecycle.wait_ready(home, port)


def _refuse_another_home(unit: Path, home: Home) -> None:
    """One machine has one platform that comes up with it: that of another data directory is not replaced silently."""
    if unit.exists() and f'"--home" {_escaped(str(home.root))}' not in unit.read_text():
        raise lifecycle.LifecycleError(
            f"{unit} starts the platform of another data directory: `systemctl disable --now {PLATFORM} {GUESTS}` and "
            "remove both files first, or leave --systemd out"
        )


async def _start(systemctl: list[str], home: Home, names: list[str]) -> None:
    """Hand the platform over to systemd, if it runs without it; VMs go on. Raises run.CommandError, LifecycleError."""
    await run.run([*systemctl, "daemon-reload"])
    active = await run.run([*systemctl, "is-active", PLATFORM], check=False)
    if active.stdout.strip() != b"active":
        lifecycle.down(home)
    await run.run([*systemctl, "enable", "--now", *names])


def _command(argv: Sequence[str]) -> str:
    return " ".join(_escaped(argument) for argument in argv)


def _escaped(argument: str) -> str:
    """systemd.service(5), "Command lines": quotes, and % and $ doubled."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
