"""`isthmus up --systemd` under a real systemd: crash, power-off and boot of the machine."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import manifests
from tests.e2e.conftest import NAME
from tests.e2e.platform import Namespace, Platform, wait_for
from tests.e2e.systemdhost import SystemdHost
from tests.guests import tiny

from isthmus.lib.home import Home

pytestmark = pytest.mark.e2e


@pytest.fixture
def machine() -> Iterator[tuple[SystemdHost, Platform]]:
    """A booted machine, and the platform that it is about to have; the caller is in its network."""
    root = Path(tempfile.mkdtemp(prefix="is-", dir="/tmp"))
    space = Namespace(f"{NAME}s")
    space.create()
    with space.entered():
        host = SystemdHost(root)
        try:
            host.boot()
            yield host, Platform(Home(root), 6443, "metal", space)
        finally:
            host.close()
            space.delete()
            shutil.rmtree(root)


def test_the_platform_comes_up_with_the_machine_and_guests_go_down_with_it(machine):
    host, platform = machine
    home = platform.home.root
    guest = asyncio.run(tiny.build())
    up = ("up", "--systemd", "--data-dir", str(home), "--node", "metal")
    assert "is ready" in host.isthmus(*up)
    assert "runs already" in host.isthmus(*up)
    wait_for(platform.ready_node, 30)
    platform.isthmus("image load", str(guest.container_disk), "--name", manifests.IMAGE)
    for strategy in ("Always", "RerunOnFailure"):
        platform.create(manifests.vm(strategy.lower(), strategy))
    before = {name: start(platform, name) for name in ("always", "rerunonfailure")}

    host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "isthmus")
    wait_for(lambda: host.run("systemctl", "is-active", "isthmus", check=False) == "active", 10)
    wait_for(platform.ready_node, 30)
    assert {name: platform.get("vmi", name)["metadata"]["uid"] for name in before} == before
    assert len(platform.processes("qemu-system")) == 2

    host.power_off()
    assert not platform.processes()
    for uid in before.values():
        directory = platform.home.node("metal") / "vms" / uid
        assert json.loads((directory / "exit.json").read_text()) == {"reason": "NodeShutdown"}
        assert "Power down" in (directory / "serial.log").read_text(errors="replace")

    host.boot()
    wait_for(platform.ready_node, 30)
    for name, uid in before.items():
        start(platform, name, another_than=uid)

    assert "Isthmus is down" in host.isthmus("down", "--data-dir", str(home))
    assert host.run("systemctl", "is-active", "isthmus", check=False) == "inactive"
    assert len(platform.processes("qemu-system")) == 2
    assert "another data directory" in host.isthmus("up", "--systemd", "--data-dir", "/srv/other", check=False)


def start(platform: Platform, name: str, another_than: str = "") -> str:
    """Wait until a VM runs and its guest has told its address: the uid of its instance."""

    def look() -> str:
        vmi = platform.find("vmi", name) or {"metadata": {"uid": ""}}
        status = vmi.get("status") or {}
        told = status.get("phase") == "Running" and "guest-agent" in status["interfaces"][0].get("infoSource", "")
        return vmi["metadata"]["uid"] if told and vmi["metadata"]["uid"] != another_than else ""

    return wait_for(look, 90, why=lambda: platform.describe("vm", name))
