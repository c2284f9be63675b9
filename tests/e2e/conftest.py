"""One platform for all end-to-end tests that want one; each test sees it from inside its network namespace.

Started by `isthmus up` at the first use, with the tiny guest loaded. At the end everything is stopped, and nothing of
a machine may be left: no process, directory, link (so no network namespace) or cgroup; after `isthmus down --vms`
nothing of the node either.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import manifests
from tests.e2e.platform import CGROUPS, Namespace, Platform, sh, wait_for
from tests.e2e.virtctl import Virtctl
from tests.guests import tiny

from isthmus.lib.home import Home

PORT = 6443  # of the namespace's own loopback
NAME = os.environ.get("ISTHMUS_E2E_NAME", f"ie{os.getpid()}")  # of the node and its network namespace: one a run


@pytest.fixture(scope="session")
def running_platform() -> Iterator[Platform]:
    if os.geteuid() != 0:
        pytest.fail("these tests give machines addresses of their own, which needs root: sudo make test")
    guest = asyncio.run(tiny.build())
    root = Path(tempfile.mkdtemp(prefix="ie-", dir="/tmp"))
    space = Namespace(NAME)
    space.create()
    platform, bare = Platform(Home(root), PORT, NAME, space), space.links()
    try:
        with space.entered():
            platform.up()
            platform.isthmus("image load", str(guest.container_disk), "--name", manifests.IMAGE)
            before = platform.leftovers()
        yield platform
        with space.entered():
            stop_all(platform)
            wait_for(lambda: platform.leftovers() == before, 20, why=lambda: (before, platform.leftovers()))
            platform.down("--vms")
            assert space.links() == bare
            assert not sh("nft", "list", "ruleset")
        assert not list(CGROUPS.glob(f"**/isthmus/{NAME}"))
        assert not platform.lasting()
    finally:
        with space.entered():
            platform.down("--vms")
        for pid in platform.processes():
            sh("kill", "-9", str(pid), check=False)
        space.delete()
        if os.environ.get("ISTHMUS_KEEP"):
            print(f"kept: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)


def stop_all(platform: Platform) -> None:
    """Every VM, VMI, volume and claim of every test that failed half way."""
    for kind in ("vm", "vmi", "dv", "pvc"):
        for found in platform.list(kind):
            platform.delete(kind, found["metadata"]["name"])
    for kind in ("vm", "vmi", "dv", "pvc", "pv"):
        wait_for(lambda kind=kind: not platform.list(kind), 60, why=lambda kind=kind: platform.list(kind))


@pytest.fixture
def platform(running_platform: Platform) -> Iterator[Platform]:
    """The platform, with the test inside its network namespace."""
    with running_platform.space.entered():
        yield running_platform


@pytest.fixture
def virtctl(platform: Platform) -> Virtctl:
    return Virtctl(platform)
