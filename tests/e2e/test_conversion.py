"""A real legacy guest: does not boot on virtio, is converted by the appliance, boots on virtio with its address.

Plain QEMU stands where KubeVirt or our agent will start the appliance's VMI: what is proved is the conversion.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.guests import legacy, machine

from isthmus.importer.appliance import build as appliance
from isthmus.importer.convert import events, plan
from isthmus.importer.prove import judge

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MAC = "00:50:56:9a:00:01"
PLAN = judge.Plan({"ens192": ["192.168.50.10/24"]})
BOOT_SECONDS = 240


@dataclass
class Converted:
    disk: Path
    report: events.Report
    text: str


async def convert(base: Path, out: Path, mac: str = MAC) -> Converted:
    """Run the appliance on an overlay of `base`."""
    if not out.exists():
        await machine.overlay(base, out)
    kernel, initrd = await appliance.build_boot_files()
    arguments = plan.plan([plan.Nic(mac)])
    boot = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", arguments)
    async with machine.boot(out, network=False, keep=True, extra=boot) as appliance_vm:
        await appliance_vm.until_end(60)
    return Converted(out, events.parse(appliance_vm.text.splitlines()), appliance_vm.text)


async def prove(disk: Path, bus: str, expected: judge.Plan, nic: str = "virtio-net-pci") -> judge.Verdict:
    """Boot `disk` on an overlay and judge it by its console until there is a verdict."""
    async with machine.boot(disk, bus, mac=MAC, nic=nic) as guest:
        while True:
            await guest.read(1)
            verdict = judge.judge(guest.text, expected, min(guest.seconds, BOOT_SECONDS), ended=guest.ended)
            if verdict.outcome is not judge.Outcome.RUNNING or guest.seconds > BOOT_SECONDS:
                return verdict


@pytest.fixture
async def guest() -> Path:
    return await legacy.build()  # from the cache after the first time


async def test_a_legacy_guest_is_converted_and_boots_on_virtio_with_its_static_address(guest, tmp_path):
    converted = await convert(guest, tmp_path / "converted.qcow2")
    assert converted.report.verdict == "converted", converted.text
    assert converted.report.os == "debian"
    assert converted.report.interfaces == {"ens192": MAC}
    changed = {change.path: change for change in converted.report.changes}
    assert changed["/etc/fstab"].original == "/var/lib/isthmus/original/etc/fstab"
    verdict = await prove(converted.disk, "virtio", PLAN)
    assert verdict.outcome is judge.Outcome.PASSED, verdict
    assert "virtio" in next(check.evidence for check in verdict.checks if check.name == "root")


async def test_a_legacy_guest_that_was_not_converted_fails_on_virtio_with_the_reason_in_words(guest):
    verdict = await prove(guest, "virtio", PLAN)
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
    verdict = await prove(converted.disk, bus, judge.Plan(PLAN.addresses, virtio=bus != "sata"))
    assert verdict.outcome is judge.Outcome.PASSED, verdict


@pytest.mark.long
async def test_a_root_named_on_the_kernel_command_line_is_renamed_too(tmp_path):
    guest = await legacy.build(legacy.Recipe(root_by_name=True))
    converted = await convert(guest, tmp_path / "converted.qcow2")
    assert "/boot/grub/grub.cfg" in {change.path for change in converted.report.changes}
    verdict = await prove(converted.disk, "scsi", PLAN)
    assert verdict.outcome is judge.Outcome.PASSED, verdict


@pytest.mark.long
async def test_a_guest_whose_initramfs_is_made_by_dracut_is_converted_too(tmp_path):
    guest = await legacy.build(legacy.Recipe(builder="dracut", packages=legacy.DRACUT_PACKAGES))
    converted = await convert(guest, tmp_path / "converted.qcow2")
    assert converted.report.initramfs == "dracut"
    verdict = await prove(converted.disk, "virtio", PLAN)
    assert verdict.outcome is judge.Outcome.PASSED, verdict
