"""Debian systems as trees: installed by mmdebstrap once (cached as a tar), configured in a chroot of their own.

Called by `legacy` and `varied`, which put the tree on a disk. Needs root and mmdebstrap.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from isthmus.lib import run

HERE = Path(__file__).parent
PASSWORD = "isthmus"
BASE = (
    "linux-image-amd64", "systemd-sysv", "udev", "dbus", "kmod", "zstd", "iproute2", "iputils-ping", "netbase", "login",
    "open-vm-tools",
)  # fmt: skip
# What no virtual machine has drivers for; the rest is Debian's kernel package as it is.
UNUSED_DRIVERS = (
    "gpu", "media", "infiniband", "staging", "iio", "usb", "net/wireless", "net/ethernet/mellanox",
    "net/ethernet/chelsio", "net/ethernet/qlogic", "scsi/lpfc", "scsi/qla2xxx", "bluetooth", "isdn", "hwmon", "mtd",
    "hid", "input/touchscreen", "gnss", "comedi", "thunderbolt",
)  # fmt: skip
UNUSED_MODULES = ("sound", "net/bluetooth", "net/mac80211", "net/wireless", "fs/ocfs2", "fs/ceph")
UNUSED = (
    *(f"/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")),
    *(f"*/lib/modules/*/kernel/drivers/{name}/*" for name in UNUSED_DRIVERS),
    *(f"*/lib/modules/*/kernel/{name}/*" for name in UNUSED_MODULES),
)
INSTALL_SECONDS, STEP_SECONDS = 1200, 300
# Mounts and processes of their own: nothing is left of either, whatever happens.
ISOLATED = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
Say = Callable[[str], None]


def cache() -> Path:
    """Where built guests are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    place = (Path(base) if base else Path.home() / ".cache") / "isthmus" / "guests"
    place.mkdir(parents=True, exist_ok=True)
    return place


def digest(recipe: object, *files: str) -> str:
    """A cache key: changes with the recipe and with the files here that follow it."""
    found = hashlib.sha256(repr(recipe).encode())
    for name in files:
        found.update((HERE / name).read_bytes())
    return found.hexdigest()[:16]


def teller(subject: str) -> Say:
    """Tell a person what takes so long."""
    began = time.monotonic()
    return lambda step: print(f"{subject}: {time.monotonic() - began:5.1f} s  {step}", file=sys.stderr, flush=True)


async def build_system(suite: str, packages: Sequence[str], say: Say) -> Path:
    """Debian with these packages, as a tar in the cache."""
    place = cache() / f"debian-{digest((suite, sorted(packages), UNUSED))}.tar"
    if place.exists():
        return place
    say(f"installing {len(packages)} packages of {suite} (about a minute)")
    draft = place.with_name(f".{os.getpid()}-{place.name}")
    exclude = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED]
    try:
        # The initramfs is made once, after the configuration.
        await run.run(
            [
                *(*ISOLATED, "nice", "mmdebstrap", "--variant=minbase", "--mode=root", "--components=main"),
                f"--include={','.join(packages)}",
                '--aptopt=APT::Install-Recommends "false"',
                *("--dpkgopt=force-unsafe-io", *exclude),
                '--essential-hook=ln -sf /bin/true "$1/usr/local/sbin/update-initramfs"',
                '--customize-hook=rm "$1/usr/local/sbin/update-initramfs"',
                *(suite, draft),
            ],
            timeout=INSTALL_SECONDS,
        )
        draft.rename(place)
    finally:
        draft.unlink(missing_ok=True)
    return place


@contextlib.asynccontextmanager
async def unpacked(archive: Path) -> AsyncIterator[Path]:
    """The system as a tree in a scratch directory beside the cache, removed on leaving."""
    with tempfile.TemporaryDirectory(prefix="unpacked-", dir=cache()) as scratch:
        tree = Path(scratch, "root")
        tree.mkdir()
        await run.run(["tar", "-xpf", archive, "-C", tree, "--xattrs", "--numeric-owner"], timeout=STEP_SECONDS)
        yield tree


async def run_in(tree: Path, script: str, values: Mapping[str, str], more: Sequence[str] = ()) -> None:
    """Run `script` of this folder in a chroot of `tree`; what it cannot know comes by the environment.

    The files `more` lie beside it in /tmp.
    """
    for name in (script, *more):
        shutil.copy(HERE / name, tree / "tmp" / name)
    await run.run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-e", HERE / "chroot.sh", tree, f"/tmp/{script}"),
        ],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PASSWORD": PASSWORD, **values},
        timeout=STEP_SECONDS,
    )
    for name in (script, *more):
        (tree / "tmp" / name).unlink()
