"""Fetches the one npm package that schemas are read from, pinned by version and checksum in `schemas.lock.json`.

The archive is kept in a cache directory, so that a second run needs no network. Called by: `__main__`.
"""

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

from isthmus.lib import run

LOCK = Path(__file__).with_name("schemas.lock.json")
_MEMBER_LIMIT = 64 << 20


class IntegrityError(Exception):
    """The archive is not the one that the lock file names."""


async def fetch(cache: Path) -> Path:
    """The path of the package's archive in `cache`, downloaded with `npm pack` if it is not there.

    Raises IntegrityError if its sha512 is not the locked one, and run.CommandError if npm fails.
    """
    lock = json.loads(LOCK.read_text())
    archive = cache / f"{lock['name'].strip('@').replace('/', '-')}-{lock['version']}.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        spec = f"{lock['name']}@{lock['version']}"
        await run.run(["npm", "pack", "--loglevel=error", "--ignore-scripts", spec], cwd=cache, timeout=300)
    digest = hashlib.sha512(archive.read_bytes()).digest()
    found = "sha512-" + base64.b64encode(digest).decode()
    if found != lock["integrity"]:
        archive.unlink()
        raise IntegrityError(f"{archive.name}: {found}, but {LOCK.name} says {lock['integrity']}; it was removed")
    return archive


def member(archive: Path, path: str) -> bytes:
    """The content of one file of the package. Raises KeyError if the package has none of that path."""
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes()), mode="r:gz") as tar:
        info = tar.getmember(f"package/{path}")
        stream = tar.extractfile(info)
        if stream is None or info.size > _MEMBER_LIMIT:
            raise KeyError(path)
        return stream.read()
