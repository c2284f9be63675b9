"""Debian packages as raw material: downloaded by apt-get, unpacked by dpkg-deb, never installed. Needs no root.

Called by `build` for the appliance. The origin and the checksums are apt's, so whatever mirror and keys the machine
trusts are the ones used.
"""

import contextlib
import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from isthmus.lib import run

_DOWNLOAD_SECONDS = 600
_MERGED = ("bin", "sbin", "lib", "lib64")
_DEPENDS = ("--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces")


def cache_root() -> Path:
    """Where built artefacts are kept between runs: `$XDG_CACHE_HOME/isthmus`, else ~/.cache/isthmus."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "isthmus"


async def find_kernel(flavour: str = "cloud-amd64") -> str:
    """The package that Debian's kernel metapackage `linux-image-FLAVOUR` points to. Raises CommandError."""
    meta = f"linux-image-{flavour}"
    listing = (await run.run(["apt-cache", "depends", "--important", meta])).text
    found = re.search(r"Depends: (linux-image-\S+)", listing)
    if found is None:
        raise run.CommandError(["apt-cache", "depends", meta], "names no kernel package; run apt-get update first")
    return found.group(1)


async def find_libraries(names: Sequence[str]) -> list[str]:
    """The shared-library packages that these packages need, directly or not, sorted."""
    listing = (await run.run(["apt-cache", "depends", *_DEPENDS, "--no-enhances", *names])).text
    libraries = sorted({line for line in listing.splitlines() if line.startswith("lib") and ":" not in line})
    policy = (await run.run(["apt-cache", "policy", *libraries])).text
    return re.findall(r"^(\S+):\n(?:  Installed: .*\n)  Candidate: (?!\(none\))", policy, re.MULTILINE)


async def resolve(packages: Sequence[str]) -> dict[str, str]:
    """The file name of each package's candidate and its origin with checksum: what a cache key is made of."""
    listing = (await run.run(["apt-get", "download", "--print-uris", *packages])).text
    rows = [shlex.split(line) for line in listing.splitlines() if line.startswith("'")]
    return {row[1]: " ".join(row[2:]) for row in rows}


def key(*parts: str | bytes) -> str:
    """A cache key of recipes and inputs."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()[:20]


@contextlib.asynccontextmanager
async def unpacked(packages: Sequence[str]) -> AsyncIterator[Path]:
    """A scratch directory with the packages' files merged, removed on leaving. Downloads what the cache lacks."""
    store = cache_root() / "packages"
    store.mkdir(parents=True, exist_ok=True)
    wanted = await resolve(packages)
    if any(not (store / name).exists() for name in wanted):
        await run.run(["apt-get", "download", *packages], cwd=store, timeout=_DOWNLOAD_SECONDS)
    with tempfile.TemporaryDirectory(prefix="isthmus-unpack-") as scratch:
        for name in sorted(wanted):
            await run.run(["dpkg-deb", "--extract", store / name, scratch], timeout=_DOWNLOAD_SECONDS)
        _link_merged(Path(scratch))
        yield Path(scratch)


def _link_merged(root: Path) -> None:
    """From Debian 13 on packages hold /usr/bin and not /bin: make the links that base-files would make."""
    for name in _MERGED:
        if not (root / name).exists():
            (root / name).symlink_to(Path("usr", name))
