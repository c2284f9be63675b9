"""A real legacy guest: does not boot on virtio, is converted by the appliance, boots on virtio with its address.

Plain QEMU stands where KubeVirt or our agent will start the appliance's VMI: what is proved is the conversion.
"""

import asyncio
from pathlib import Path

import pytest
from tests.guests import legacy
from tests.guests.conversion import MAC, convert, prove

from isthmus.importer.convert import virtv2v
from isthmus.importer.prove import judge
from isthmus.lib import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PLAN = judge.Plan({"ens192": ["192.168.50.10/24"]})


@pytest.fixture
async def guest() -> Path:
    return await legacy.build()  # from the cache after the first time


async def test_a_legacy_guest_is_converted_and_boots_on_virtio_with_its_static_address(guest, tmp_path):
    converted = await convert(guest, tmp_path / "converted.qcow2")
    assert converted.report.verdict == "converted", converted.text
    assert converted.report.os == "debian"
    assert converted.report.interfaces == {"ens192": MAC}
    assert converted.report.addresses == PLAN.addresses
    changed = {change.path: change for change in converted.report.changes}
    assert changed["/etc/fstab"].original == "/var/lib/isthmus/original/etc/fstab"
    verdict = (await prove(converted.disk, "virtio", PLAN)).verdict
    assert verdict.outcome is judge.Outcome.PASSED, verdict
    assert "virtio" in next(check.evidence for check in verdict.checks if check.name == "root")
    assert not any(check.inferred for check in verdict.checks if check.name in ("kernel", "root"))


async def test_a_legacy_guest_that_was_not_converted_fails_on_virtio_with_the_reason_in_words(guest):
    verdict = (await prove(guest, "virtio", PLAN)).verdict
    assert verdict.outcome is judge.Outcome.FAILED
    assert "did not find the root disk" in verdict.reason


async def test_a_second_conversion_changes_nothing_more(guest, tmp_path):
    first = await convert(guest, tmp_path / "converted.qcow2")
    second = await convert(guest, first.disk)
    assert second.report.verdict == "converted", second.text
    assert second.report.changes == ()


async def test_a_disk_without_a_guest_is_declined_with_a_reason(tmp_path):
    empty = tmp_path / "empty.raw"
    with empty.open("wb") as file:
        file.truncate(64 << 20)
    report = (await convert(empty, tmp_path / "overlay.qcow2")).report
    assert report.verdict == "unsupported"
    assert "no Linux root" in report.reason


@pytest.mark.long
@pytest.mark.parametrize("bus", ["scsi", "sata"])
async def test_the_converted_guest_boots_on_other_buses_too(guest, tmp_path, bus):
    converted = await convert(guest, tmp_path / "converted.qcow2")
    verdict = (await prove(converted.disk, bus, judge.Plan(PLAN.addresses, virtio=bus != "sata"))).verdict
    assert verdict.outcome is judge.Outcome.PASSED, verdict


@pytest.mark.long
async def test_a_root_named_on_the_kernel_command_line_is_renamed_too(tmp_path):
    guest = await legacy.build(legacy.Recipe(root_by_name=True))
    converted = await convert(guest, tmp_path / "converted.qcow2")
    assert "/boot/grub/grub.cfg" in {change.path for change in converted.report.changes}
    verdict = (await prove(converted.disk, "scsi", PLAN)).verdict
    assert verdict.outcome is judge.Outcome.PASSED, verdict


@pytest.mark.long
async def test_a_guest_whose_initramfs_is_made_by_dracut_is_converted_too(tmp_path):
    guest = await legacy.build(legacy.Recipe(builder="dracut", packages=legacy.DRACUT_PACKAGES))
    converted = await convert(guest, tmp_path / "converted.qcow2")
    assert converted.report.initramfs == "dracut"
    verdict = (await prove(converted.disk, "virtio", PLAN)).verdict
    assert verdict.outcome is judge.Outcome.PASSED, verdict


@pytest.fixture
def empty_disk(tmp_path) -> Path:
    disk = tmp_path / "empty.raw"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    return disk


@pytest.mark.long
async def test_virt_v2v_says_why_it_did_not_convert(empty_disk, tmp_path):
    result = await virtv2v.convert([empty_disk], tmp_path / "log")
    assert not result.converted
    assert "could not detect the source guest" in result.output.error
    assert result.output.phases


@pytest.mark.long
async def test_virt_v2v_is_gone_with_all_that_it_started_when_its_conversion_is_cancelled(empty_disk, tmp_path):
    begun = asyncio.Event()
    task = asyncio.create_task(
        virtv2v.convert([empty_disk], tmp_path / "log", on_phase=lambda phase: "Opening" in phase.text and begun.set())
    )
    await asyncio.wait_for(begun.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(1)
    assert not [args for args in await _processes() if str(empty_disk) in args]


@pytest.mark.long
async def test_virt_v2v_past_its_deadline_is_ended(empty_disk, tmp_path):
    with pytest.raises(run.CommandError, match="did not end within 2 s"):
        await virtv2v.convert([empty_disk], tmp_path / "log", deadline=2)
    await asyncio.sleep(1)
    assert not [args for args in await _processes() if str(empty_disk) in args]


async def _processes() -> list[str]:
    return (await run.run(["ps", "-eo", "args"])).text.splitlines()
