"""A platform of somebody who is not root: a VM with QEMU's user networking, and words for what is missing."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import manifests
from tests.e2e.conftest import NAME
from tests.e2e.platform import Namespace, Platform
from tests.e2e.virtctl import Virtctl
from tests.guests import tiny

from isthmus.lib.home import Home

pytestmark = pytest.mark.e2e


@pytest.fixture
def rootless() -> Iterator[Platform]:
    guest = asyncio.run(tiny.build())
    root = Path(tempfile.mkdtemp(prefix="iu-", dir="/tmp"))
    space = Namespace(f"{NAME}u")
    space.create()
    platform = Platform(Home(root), 6443, "user", space, user=1000)
    try:
        with space.entered():
            platform.up()
            assert "not root: no bridges" in platform.said
            platform.isthmus("image load", str(guest.container_disk), "--name", manifests.IMAGE)
            yield platform
    finally:
        with space.entered():
            platform.down("--vms")
        space.delete()
        shutil.rmtree(root, ignore_errors=True)


def test_a_vm_runs_answers_and_is_shut_down_without_root(rootless):
    rootless.create(manifests.vm("mine", "Always"))
    rootless.wait_phase("vmi", "mine", "Running", 60)
    Virtctl(rootless).console("mine").expect("login: $", 120)
    assert rootless.get("vmi", "mine")["status"]["interfaces"][0]["ipAddress"].startswith("127.")
    assert "1 VMs shut down\n" in rootless.isthmus("down --vms")
    assert not rootless.lasting()
