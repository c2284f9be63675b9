"""Fetch an image from a registry with skopeo, into the shared blobs. Called by `store` only.

skopeo checks every blob's digest and skips those that are here. Plain HTTP is allowed to registries on loopback alone.
"""

import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from isthmus.engine.node.image import archive, manifest
from isthmus.engine.node.image.blobs import Blobs
from isthmus.engine.node.image.errors import ImageError, pull_failed
from isthmus.engine.node.image.reference import Reference
from isthmus.lib import run as processes

DEADLINE = 3600.0
"""Seconds for one image: disks of many gigabytes come over slow lines."""

_Runner = Callable[..., Awaitable[processes.Completed]]
_MUST_CONVERT = ("preserve digests", "preserve the digest")


async def pull(wanted: Reference, blobs: Blobs, auth: Mapping[str, Any] | None, run: _Runner) -> str:
    """Fetch `wanted` and give the digest of its manifest. Raises ImageError ErrImagePull."""
    work = blobs.temporary()
    work.mkdir(mode=0o700)
    try:
        try:
            await run(argv(wanted, work, blobs.root, _write_auth(auth, work), preserve=True), timeout=DEADLINE)
        except processes.CommandError as error:
            # A Docker schema 2 manifest becomes an OCI one: then its digest changes, the layers' do not.
            if not any(phrase in error.stderr for phrase in _MUST_CONVERT):
                raise
            await run(argv(wanted, work, blobs.root, _write_auth(auth, work), preserve=False), timeout=DEADLINE)
        return _digest(work / "image", blobs)
    except processes.CommandError as error:
        raise pull_failed(f"{wanted.name}: {explain(error)}") from error
    except ImageError as error:
        raise pull_failed(f"{wanted.name}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def argv(wanted: Reference, work: Path, shared: Path, auth: Path | None, *, preserve: bool) -> list[str | Path]:
    """skopeo's command line. Pure."""
    credentials: list[str | Path] = ["--src-authfile", auth] if auth else ["--src-no-creds"]
    kept = "--preserve-digests" if preserve else "--dest-oci-accept-uncompressed-layers"
    verify = f"--src-tls-verify={str(not wanted.on_loopback).lower()}"
    options = ["--quiet", kept, "--retry-times", "2", verify, *credentials, "--dest-shared-blob-dir", shared]
    return ["skopeo", "copy", *options, f"docker://{wanted.name}", f"oci:{work}/image:image"]


def explain(error: processes.CommandError) -> str:
    """skopeo's last message without its log format: `level=fatal msg="..."`."""
    lines = [line for line in error.stderr.strip().splitlines() if line.strip()]
    if not lines:
        return error.reason
    _, found, message = lines[-1].partition("msg=")
    if not found:
        return lines[-1]
    try:
        return str(json.loads(message))
    except ValueError:
        return message.strip('"')


def _write_auth(auth: Mapping[str, Any] | None, work: Path) -> Path | None:
    if not auth:
        return None
    path = work / "auth.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(auth))
    return path


def _digest(layout: Path, blobs: Blobs) -> str:
    entries = manifest.parse_index((layout / "index.json").read_bytes())
    if len(entries) != 1:
        raise pull_failed(f"{len(entries)} manifests where one was asked for")
    return archive.resolve(entries[0], blobs)
