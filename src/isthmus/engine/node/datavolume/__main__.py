"""`python -m isthmus.engine.node.datavolume`: started by `node.worker` with what `datavolumeplan` wrote.

Environment: ISTHMUS_VOLUMES, a JSON object of volume name -> directory; ISTHMUS_HOME, whose images are shared.
Standard output: a JSON line with `percent` each second. Exit codes: 0 done; 1 it may go better next time; 2 never will.
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import click

from isthmus.engine.node.datavolume import clone as cloning
from isthmus.engine.node.datavolume import http, registry
from isthmus.engine.node.datavolume.errors import TransferError
from isthmus.engine.node.datavolume.progress import Progress
from isthmus.engine.node.disk import files, ingest
from isthmus.engine.node.disk.probe import ImageRefusedError
from isthmus.engine.node.image.errors import ImageError
from isthmus.lib import run as processes

_target = click.option("--target", required=True, help="Volume to fill.")
_url = click.option("--url", required=True)
_credentials = click.option("--credentials", default="", help="Volume with accessKeyId and secretKey.")
_certificates = click.option("--certificates", default="", help="Volume with certificates (PEM) to trust.")
_content = click.option("--content-type", default="kubevirt")
_preallocate = click.option("--preallocate", is_flag=True)


@click.group()
def main() -> None:
    """Fill a volume."""


@main.command("import-http")
@_url
@_target
@_credentials
@_certificates
@_content
@_preallocate
@click.option("--header", "headers", multiple=True, help="NAME: VALUE")
@click.option("--checksum", default="", help="ALGORITHM:HEX of the file as it is transferred.")
@click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")
def import_http(
    url: str,
    target: str,
    credentials: str,
    certificates: str,
    content_type: str,
    headers: Sequence[str],
    checksum: str,
    *,
    preallocate: bool,
    insecure: bool,
) -> None:
    """From an http or https URL."""
    _must_be_disk(content_type)
    wanted = http.Wanted(url, _read(credentials), _read(certificates), headers, checksum, insecure=insecure)
    volume = _volume(target)
    _run(http.fill(wanted, volume, files.disk_size(volume), Progress()), volume, preallocate=preallocate)


@main.command("import-registry")
@_url
@_target
@_credentials
@_certificates
@_content
@_preallocate
@click.option("--insecure", is_flag=True)
def import_registry(
    url: str, target: str, credentials: str, certificates: str, content_type: str, *, preallocate: bool, insecure: bool
) -> None:
    """From an image with the disk below /disk, as a containerDisk."""
    _must_be_disk(content_type)
    if certificates or insecure:
        raise click.UsageError("certConfigMap and insecureSkipVerify are not supported for registries")
    images, volume = Path(os.environ["ISTHMUS_HOME"]) / "images", _volume(target)
    work = registry.fill(images, url, _read(credentials), volume, files.disk_size(volume))
    _run(work, volume, preallocate=preallocate)


@main.command("clone")
@click.option("--source", required=True, help="Volume to read.")
@_target
def clone(source: str, target: str) -> None:
    """From another volume."""
    volume = _volume(target)
    _run(cloning.fill(_volume(source), volume, Progress()), volume, preallocate=False)


def _run(work: Coroutine[Any, Any, None], volume: Path, *, preallocate: bool) -> None:
    asyncio.run(work)
    if preallocate:
        files.preallocate(volume / files.DISK_NAME)
    sys.stdout.write('{"percent": 100.0}\n')


def _must_be_disk(content: str) -> None:
    if content != "kubevirt":
        raise click.UsageError(f"contentType {content} is not supported here: volumes hold disks, not directories")


def _volume(name: str) -> Path:
    try:
        return Path(json.loads(os.environ["ISTHMUS_VOLUMES"])[name])
    except (KeyError, ValueError) as error:
        raise click.UsageError(f"ISTHMUS_VOLUMES has no volume {name!r}") from error


def _read(name: str) -> dict[str, bytes]:
    """The files of a Secret's or ConfigMap's volume."""
    return {path.name: path.read_bytes() for path in _volume(name).iterdir() if path.is_file()} if name else {}


def run() -> int:
    """The whole program; its exit code."""
    try:
        main(standalone_mode=False)
    except (click.ClickException, ImageRefusedError, TransferError, ImageError, processes.CommandError) as error:
        sys.stdout.flush()
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        sys.stderr.write(f"{message}\n")
        final = isinstance(error, click.ClickException | ingest.TooLargeError)
        return 2 if final else 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
