"""kill -9 in every phase: an import ends well or says clearly why not, and nothing is left of it either way."""

import asyncio
import contextlib
import filecmp
import http.client
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.imports import Imports, served
from tests.e2e.platform import ApiError, Platform, wait_for
from tests.guests import tiny
from tests.vmware import make_ova, ovf

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
FAULTS = [
    ("Transferring", "worker"),
    ("Transferring", "agent"),
    ("Transferring", "controllers"),
    ("Transferring", "apiserver"),
    ("Converting", "worker"),
    ("Converting", "agent"),
    ("Proving", "controllers"),
    ("Proving", "agent"),
    ("Proving", "machine"),
]
SPECS: dict[str, dict[str, Any]] = {
    "Transferring": {"converter": "None", "prove": False},
    "Converting": {"converter": "VirtV2V", "prove": False},
    "Proving": {"converter": "None", "prove": True},
}


@pytest.fixture(scope="session")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny guest as an OVA: it boots on virtio as it is, and virt-v2v does not know it."""
    path = tmp_path_factory.mktemp("faults") / "guest.ova"
    machine = ovf.Machine("guest", (), (ovf.Card("VM Network", "00:50:56:01:02:03"),), memory_mib=256)
    make_ova.make_ova(path, machine, [asyncio.run(tiny.build()).disk])
    return path


@pytest.fixture
def imports(platform: Platform) -> Iterator[Imports]:
    found = Imports(platform)
    yield found
    found.clean_up()


def patient(look: Callable[[], Any]) -> Any:
    """None while the API is away."""
    with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
        return look()
    return None


def kill(platform: Platform, what: str) -> None:
    if what not in ("worker", "machine"):
        platform.kill(what)
        return
    needle = "isthmus.engine.node.worker" if what == "worker" else "qemu-system"
    for pid in wait_for(lambda: platform.processes(needle), 60, 0.05):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize(("phase", "victim"), FAULTS, ids=[f"{phase}-{victim}" for phase, victim in FAULTS])
def test_an_import_survives_or_ends_clearly(imports, unknown, phase, victim):
    platform, name = imports.platform, f"{phase}-{victim}".lower()
    with served(unknown.parent, delay=0.005) as url:
        source = {"url": f"{url}/guest.ova"} if phase == "Transferring" else {"path": str(unknown)}
        imports.create(name, source=source, targetName=name, **SPECS[phase])
        imports.vms.append(name)
        imports.wait(name, phase, seconds=90)
        if (phase, victim) == ("Proving", "machine"):
            wait_for(lambda: platform.processes("qemu-system"), 60, 0.05)
        kill(platform, victim)

        def ended() -> Any:
            status = patient(lambda: imports.status(name)) or {}
            return status if status.get("phase") in ("Succeeded", "Failed") else None

        status = wait_for(ended, 300, 0.2, why=lambda: patient(lambda: platform.describe("vmimport", name)))
    assert status["message"]
    if phase == "Transferring":
        assert status["phase"] == "Succeeded", status["message"]
    if status["phase"] == "Failed":
        assert len(status["message"]) > 20
        assert not platform.find("vm", name)
    else:
        assert platform.find("vm", name)
    wait_for(lambda: patient(platform.ready_node), 30)
    imports.wait_clean(60)


@pytest.mark.parametrize("victim", ["worker", "agent and worker"])
def test_a_transfer_goes_on_in_the_middle_of_the_disk(imports, tmp_path, victim):
    platform, raw, asked = imports.platform, tmp_path / "random.raw", []
    raw.write_bytes(os.urandom(24 << 20))
    make_ova.make_ova(tmp_path / "random.ova", ovf.Machine("random", ()), [raw])
    name = f"resumed-{victim.replace(' ', '-')}"
    with served(tmp_path, delay=0.008, ranges=asked) as url:  # 24 MiB in 12 s
        imports.create(
            name, source={"url": f"{url}/random.ova"}, targetName=name, converter="None", prove=False
        )  # fmt: skip
        imports.vms.append(name)
        place = wait_for(
            lambda: next(iter(platform.home.node(platform.node).glob("volumes/*/.isthmus-transfer")), None), 60
        )
        if "agent" in victim:
            platform.kill("agent")
        kill(platform, "worker")
        asked.clear()
        status = imports.wait(name, "Succeeded", "Failed", seconds=90)
    assert status["phase"] == "Succeeded", status["message"]
    disk = status["transfer"]["disks"][0]
    assert disk["resumedAt"] > 4 << 20
    assert disk["verified"]
    assert not place.exists()
    assert filecmp.cmp(raw, imports.disk(status["disks"][0]["claimName"]), shallow=False)
    starts = [int(r.removeprefix("bytes=").partition("-")[0]) for r in asked]
    assert any(start > disk["resumedAt"] - (2 << 20) for start in starts), asked


@pytest.mark.long
def test_a_transfer_that_is_killed_again_and_again_arrives_all_the_same(imports, tmp_path):
    """More often than a worker that gets nowhere would be started anew."""
    platform, raw = imports.platform, tmp_path / "random.raw"
    raw.write_bytes(os.urandom(48 << 20))
    make_ova.make_ova(tmp_path / "random.ova", ovf.Machine("random", ()), [raw])
    with served(tmp_path, delay=0.012, ranges=[]) as url:  # 48 MiB in 37 s
        imports.create("often", source={"url": f"{url}/random.ova"}, targetName="often", converter="None", prove=False)
        imports.vms.append("often")
        before = 0.0
        for _ in range(5):
            before = wait_for(lambda last=before: _noted_since(platform, last), 60)
            kill(platform, "worker")
        status = imports.wait("often", "Succeeded", "Failed", seconds=120)
    assert status["phase"] == "Succeeded", status["message"]
    assert status["transfer"]["disks"][0]["verified"]
    assert filecmp.cmp(raw, imports.disk(status["disks"][0]["claimName"]), shallow=False)


def _noted_since(platform: Platform, last: float) -> float:
    """When the note beside the disk was written, if that is news, and told by the worker that goes on from it."""
    for place in platform.home.node(platform.node).glob("volumes/*/.isthmus-transfer"):
        if (written := place.stat().st_mtime) > last:
            return written
    return 0.0


@pytest.mark.long
@pytest.mark.parametrize("phase", ["Transferring", "Converting", "Proving"])
def test_an_import_that_is_deleted_leaves_nothing(imports, unknown, phase):
    name = f"gone-{phase}".lower()
    with served(unknown.parent, delay=0.005) as url:
        source = {"url": f"{url}/guest.ova"} if phase == "Transferring" else {"path": str(unknown)}
        imports.create(name, source=source, targetName=name, **SPECS[phase])
        imports.wait(name, phase, seconds=90)
        imports.platform.delete("vmimport", name)
        imports.platform.wait_gone("vmimport", name)
        imports.wait_clean(60)
    assert not imports.platform.find("vm", name)
    assert not imports.platform.processes("virt-v2v")
    wait_for(lambda: not imports.stale_machines(), 75, 1, why=imports.stale_machines)
