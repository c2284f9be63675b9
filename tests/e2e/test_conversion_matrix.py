"""Real guests of many shapes: converted, booted on virtio, judged, and booted again after their own rebuild.

The results are printed as the table in docs/conversion.md. Each guest takes minutes; they are built once and cached.
"""

import os
from pathlib import Path

import pytest
from tests.guests import machine, varied
from tests.guests.conversion import MAC, boot_again, convert, finish_first_boot, prove

from isthmus.importer.prove import judge
from isthmus.lib import run

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(3000)]

# What the second boot is asked: all of it is the guest's own by then.
QUESTIONS = {
    "addresses": "ip -o -4 addr show scope global | awk '{print $2, $4}'",
    "root": "readlink -f /sys/class/block/vda",
    "ours": "head -c 1024 /boot/initrd.img-$(uname -r) | grep -c zz-isthmus",
    "service": "ls /etc/systemd/system/isthmus-first-boot.service 2>/dev/null | wc -l",
}


@pytest.mark.parametrize("recipe", varied.MATRIX.values(), ids=varied.MATRIX)
async def test_a_guest_boots_on_virtio_now_and_after_it_has_rebuilt_its_initramfs(recipe, tmp_path):
    converted = await convert(await varied.build(recipe), tmp_path / "converted.qcow2")
    report = converted.report
    assert report.verdict == "converted", converted.text
    assert (report.filesystem, report.initramfs) == (recipe.filesystem, recipe.builder)
    assert report.interfaces == {recipe.interface: MAC}
    assert report.addresses == {recipe.interface: [recipe.address]}

    uefi = recipe.firmware == "uefi"
    plan = judge.Plan(report.addresses, kernel=report.kernel)
    proof, seconds = await finish_first_boot(converted.disk, plan, uefi=uefi)
    assert proof.verdict.outcome is judge.Outcome.PASSED, proof.verdict

    told = await boot_again(converted.disk, QUESTIONS, uefi=uefi)
    assert f"{recipe.interface} {recipe.address}" in told["addresses"]
    assert "virtio" in told["root"]
    assert told["ours"].endswith("0"), "the initramfs is still the one with our drivers in front"
    assert told["service"].endswith("0"), "the first-boot service is still there"
    print(f"\n| {recipe.name} | {converted.seconds:.1f} | {proof.seconds:.0f} | {seconds:.0f} | passed | passed |")


async def test_a_uefi_guest_whose_fstab_does_not_name_its_system_partition_gets_a_fallback_loader_too(tmp_path):
    guest = tmp_path / "guest.qcow2"
    await machine.overlay(await varied.build(varied.MATRIX["trixie"]), guest)
    await edit(guest, "run", "mount /dev/sda2 /", 'sh "sed -i /boot.efi/d /etc/fstab"', "cat /etc/fstab", "umount-all")
    converted = await convert(guest, guest)
    assert converted.report.verdict == "converted", converted.text
    assert any(change.path.lower().endswith("bootx64.efi") for change in converted.report.changes)
    proof = await prove(converted.disk, "virtio", judge.Plan(converted.report.addresses), uefi=True)
    assert proof.verdict.outcome is judge.Outcome.PASSED, proof.verdict


async def edit(disk: Path, *commands: str) -> None:
    """Commands of guestfish on a disk."""
    settings = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    done = await run.run(
        ["nice", "guestfish", "--format=qcow2", "-a", disk],
        stdin="\n".join(commands).encode(),
        env={**os.environ, **settings},
        timeout=300,
    )
    assert "/boot/efi" not in done.text
