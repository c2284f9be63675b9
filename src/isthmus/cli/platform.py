"""`isthmus up`, `down`, `status`."""

import os
import socket
import time
from pathlib import Path

import click

from isthmus.lib.home import Home, default_root
from isthmus.operations import doctor, lifecycle, state

data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), default=default_root, show_default="$ISTHMUS_HOME, "
    "or /var/lib/isthmus for root, else ~/.local/share/isthmus", help="Where everything of this home lies.",
)  # fmt: skip
MARKS = {doctor.Level.OK: "ok", doctor.Level.WARNING: "!!", doctor.Level.ERROR: "xx"}


@click.command()
@data_dir
@click.option("--port", type=click.IntRange(1, 65535), default=6443, show_default=True, help="The API's, on loopback.")
@click.option("--node", default=lambda: socket.gethostname().split(".")[0].lower() or "node", help="This node's name.")
@click.option("--foreground", is_flag=True, help="Stay, and end the platform with this command.")
@click.option("--systemd", is_flag=True, help="Install and start a systemd unit instead of a background process.")
def up(data_dir: Path, port: int, node: str, foreground: bool, systemd: bool) -> None:
    """Start the platform on this machine. If it runs already, say so."""
    home, began = Home(data_dir.absolute()), time.monotonic()
    running, known = state.read(home), doctor.is_acceleration_known(home)
    _show_findings(home, running.port if running else port, running=running is not None)
    try:
        if systemd:
            from isthmus.operations import systemd as units

            units.install(home, port, [node])
        elif foreground and not running:
            lifecycle.prepare(home, port, [node])
            argv = lifecycle.supervisor_argv(home, port, [node])
            os.execv(argv[0], argv)  # noqa: S606  (becomes the supervisor; no shell)
        started = lifecycle.up(home, port, [node])
    except lifecycle.LifecycleError as error:
        raise click.ClickException(str(error)) from error
    how = "runs already" if running else f"is ready after {time.monotonic() - began:.1f} s"
    click.echo(f"Isthmus {how}: https://127.0.0.1:{started.port}\n\n  export KUBECONFIG={home.kubeconfig}\n")
    if not known:
        _show(doctor.wait_acceleration(home))


def _show(finding: doctor.Finding) -> None:
    if finding.level is not doctor.Level.OK:
        click.echo(f" {MARKS[finding.level]} {finding.what}\n      -> {finding.remedy}", err=True)


def _show_findings(home: Home, port: int, *, running: bool) -> None:
    findings = list(doctor.find(home, port, running=running))
    for finding in findings:
        _show(finding)
    errors = [f for f in findings if f.level is doctor.Level.ERROR]
    if errors:
        raise click.ClickException("the platform cannot start: " + "; ".join(f.what for f in errors))


@click.command()
@data_dir
@click.option("--vms", is_flag=True, help="Shut the VMs down, too; without it they go on.")
def down(data_dir: Path, vms: bool) -> None:
    """Stop the platform's processes."""
    home = Home(data_dir.absolute())
    try:
        click.echo("Isthmus is down" if lifecycle.down(home) else "Isthmus was not running")
        if vms:
            from isthmus.operations import vms as machines

            heeded, ended = machines.shut_down(home)
            forced = f", {ended} did not within their grace periods and were ended" if ended else ""
            click.echo(f"{heeded} VMs shut down{forced}")
    except lifecycle.LifecycleError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@data_dir
def status(data_dir: Path) -> None:
    """Say what runs, and what this machine has and lacks. Exit code 1 if the platform is not ready."""
    home = Home(data_dir.absolute())
    running = state.read(home)
    port = running.port if running else 6443
    for finding in doctor.find(home, port, running=running is not None):
        remedy = f"\n      -> {finding.remedy}" if finding.remedy else ""
        click.echo(f" {MARKS[finding.level]} {finding.what}{remedy}")
    if running is None:
        click.echo(f"Isthmus is not running (data directory {home.root})")
        raise click.exceptions.Exit(1)
    ready = lifecycle.ready(home, running.port)
    click.echo(f"Isthmus {'is ready' if ready else 'is NOT ready'}: https://127.0.0.1:{running.port}")
    click.echo(f"  data directory  {home.root}\n  nodes           {', '.join(running.nodes)}")
    raise click.exceptions.Exit(0 if ready else 1)
