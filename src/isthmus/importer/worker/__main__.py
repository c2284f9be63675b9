"""`python -m isthmus.importer.worker`: the entry point of a worker Pod. See `isthmus.importer.worker`.

Exit codes: 0 done; 2 the input is bad (the message is on stderr); 1 anything else.
Environment: ISTHMUS_VOLUMES, a JSON object of volume name -> path (see `access` for what they may hold);
ISTHMUS_ACCELERATOR, kvm or tcg; KUBECONFIG for `--import` (a Pod on a cluster uses its service account).
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from isthmus.codec.manifest import Digest
from isthmus.importer.sources import opening
from isthmus.importer.sources.checked import parse_checksum
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.sources.machine import Machine
from isthmus.importer.sources.package import Package
from isthmus.importer.worker import access, interrupt, target
from isthmus.importer.worker import inspect as inspecting
from isthmus.importer.worker.progress import JsonLines, Progress, Several
from isthmus.importer.worker.target import TargetError
from isthmus.importer.worker.transfer import Assignment, Transfer

_source = click.option(
    "--source",
    required=True,
    help="Path or URL of an OVA, OVF or VMDK; volume:NAME is what a volume holds, - is stdin.",
)
_shown_as = click.option("--shown-as", default="", help="What messages call the source instead of its path.")
_deadline = click.option(
    "--deadline", type=click.FloatRange(min=0, min_open=True, max=1e7), help="Give up after so many seconds."
)


@click.group()
def main() -> None:
    """Read what VMware exported, and write it into volumes."""


@main.command()
@_source
@_shown_as
@_deadline
def inspect(source: str, shown_as: str, deadline: float | None) -> None:
    """Print the machines of a package as JSON."""
    with interrupt.interruptible(deadline), _opened(source, shown_as) as location:
        package = opening.open_package(location)
        try:
            click.echo(orjson.dumps(inspecting.describe(package)))
        finally:
            package.close()


@main.command()
@_source
@_shown_as
@_deadline
@click.option("--machine", default="", help="Which machine of the package, if it has several.")
@click.option("--disk", "disks", multiple=True, required=True, metavar="DISK=VOLUME[:BYTES]", help="Repeat per disk.")
@click.option("--checksum", metavar="ALGORITHM:HEX", help="What the source file must hash to, e.g. sha256:…")
@click.option("--import", "reference", metavar="NAMESPACE/NAME", help="Keep this VirtualMachineImport's status.")
def transfer(
    source: str,
    shown_as: str,
    deadline: float | None,
    machine: str,
    disks: Sequence[str],
    checksum: str | None,
    reference: str | None,
) -> None:
    """Stream disks into volumes."""
    digest = _checksum(checksum)
    assignments = _assignments(disks)
    progress = _audience(reference)
    try:
        with interrupt.interruptible(deadline), _opened(source, shown_as) as location:
            package = opening.open_package(location, digest)
            try:
                Transfer(package, _find_machine(package, machine).disks, assignments, progress).run()
            finally:
                package.close()
    finally:
        progress.close()


@main.command()
@_deadline
@click.option("--volume", "volumes", multiple=True, required=True, help="With a disk of the guest, in order. Repeat.")
def convert(deadline: float | None, volumes: Sequence[str]) -> None:
    """Make the guest on these volumes fit for virtio with virt-v2v."""
    from isthmus.importer.worker import convert as converting  # asyncio takes a while to import

    known = _volumes()
    if unknown := [name for name in volumes if name not in known]:
        raise click.UsageError(f"volume {unknown[0]!r} is not in ISTHMUS_VOLUMES ({', '.join(known) or 'empty'})")
    converting.run([target.find_image(Path(known[name])) for name in volumes], deadline)


@contextmanager
def _opened(source: str, shown_as: str) -> Iterator[str]:
    """The location to open; messages about it call it `shown_as`."""
    volumes = _volumes()
    location = access.locate(source, volumes)
    try:
        with access.granted(volumes):
            yield location
    except SourceError as error:
        if shown_as and error.source == location:
            raise SourceError(error.reason, source=shown_as, member=error.member, offset=error.offset) from error
        raise


def _volumes() -> dict[str, str]:
    try:
        volumes: dict[str, str] = orjson.loads(os.environ.get("ISTHMUS_VOLUMES") or "{}")
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"ISTHMUS_VOLUMES is no JSON: {error}") from error
    return volumes


def _checksum(text: str | None) -> Digest | None:
    try:
        return parse_checksum(text) if text else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _find_machine(package: Package, name: str) -> Machine:
    try:
        return package.envelope.machine(name)
    except LookupError as error:
        raise SourceError(str(error), source=package.name) from error


def _assignments(disks: Sequence[str]) -> list[Assignment]:
    volumes = _volumes()
    found: list[Assignment] = []
    for text in disks:
        disk, _, rest = text.rpartition("=")
        volume, colon, size = rest.partition(":")
        if not disk or not volume or (colon and not size.isdigit()):
            raise click.UsageError(f"--disk {text!r} is not of the form DISK=VOLUME[:BYTES]")
        if volume not in volumes:
            raise click.UsageError(f"volume {volume!r} is not in ISTHMUS_VOLUMES ({', '.join(volumes) or 'empty'})")
        if disk in (other.disk for other in found) or volume in (other.volume for other in found):
            raise click.UsageError(f"--disk {text!r} names a disk or a volume twice")
        found.append(Assignment(disk, volume, Path(volumes[volume]), int(size) if size else None))
    return found


def _audience(reference: str | None) -> Progress:
    if reference is None:
        return JsonLines()
    namespace, _, name = reference.partition("/")
    if not namespace or not name:
        raise click.UsageError("--import takes NAMESPACE/NAME")
    from isthmus.importer.worker.status import Status  # the client's libraries take a while to import

    kubeconfig = os.environ.get("KUBECONFIG")
    return Several(JsonLines(), Status(Path(kubeconfig) if kubeconfig else None, namespace, name))


def run() -> int:
    """The whole program; its exit code."""
    # The threads spend most of their time in C without the interpreter's lock, some 100 us a grain, and want it back
    # for a few: the usual 5 ms of waiting for it would leave cores idle.
    sys.setswitchinterval(0.0001)
    try:
        main(standalone_mode=False)
    except (SourceError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"error: {message}", err=True)
        return 2
    except (TargetError, interrupt.Interrupted) as error:
        click.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
