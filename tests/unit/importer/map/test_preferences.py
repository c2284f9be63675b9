"""Which preference an imported machine gets: never one that would change what the source said of it."""

from dataclasses import replace

import pytest

from isthmus.engine.controllers.cluster import commontypes
from isthmus.importer.map import preferences, virtual_machine
from isthmus.importer.map.virtual_machine import Options
from isthmus.importer.sources.machine import Disk, Firmware, Machine, Nic, OperatingSystem
from isthmus.machinery import instancetype

KNOWN = {body["metadata"]["name"]: body["spec"] for body in commontypes.preferences()}
MACHINE = Machine("erp", "erp", cpus=2, memory=4 << 30, disks=(Disk("d1", "Hard disk 1", 1 << 30),),
                  nics=(Nic("Ethernet 1", "VM Network", "00:50:56:01:02:03"),))  # fmt: skip


def build(guest_id: str = "", options: Options | None = None, **changes):
    machine = replace(MACHINE, os=OperatingSystem(guest_id=guest_id), **changes)
    options = options or Options(preferences=KNOWN)
    return virtual_machine.virtual_machine(machine, "erp", "default", {"d1": "c1"}, {"VM Network": "pod"}, options)


def name_of(vm) -> str:
    return (vm["spec"].get("preference") or {}).get("name", "")


@pytest.mark.parametrize(
    ("guest_id", "changes", "chosen"),
    [
        ("debian12_64Guest", {}, "debian"),
        ("debian12_64Guest", {"firmware": Firmware.EFI}, "debian"),
        ("debian12_64Guest", {"memory": 256 << 20}, "linux"),  # Debian's wants 512 MiB: KubeVirt would refuse the VM
        ("debian12_64Guest", {"memory": 256 << 20, "firmware": Firmware.EFI}, "linux.efi"),
        ("oracleLinux8_64Guest", {"cpus": 1}, "linux"),
        ("windows2019srv_64Guest", {"firmware": Firmware.EFI}, "windows.2k19"),
        ("windows11_64Guest", {"firmware": Firmware.EFI}, ""),  # its preference would add a TPM that was not there
        ("windows11_64Guest", {"firmware": Firmware.EFI, "tpm": True, "cores_per_socket": 2}, "windows.11"),
        ("windows11_64Guest", {"firmware": Firmware.EFI, "tpm": True}, ""),  # it counts cores, and there is one
        ("otherGuest64", {}, ""),
    ],
)
def test_the_preference_of_the_guest_or_of_its_kind_or_none(guest_id, changes, chosen):
    assert name_of(build(guest_id, **changes)) == chosen


def test_what_was_found_in_the_guest_counts_more_than_what_the_source_says():
    assert name_of(build("otherGuest64", Options(preferences=KNOWN, guest="debian12"))) == "debian"
    assert name_of(build("debian12_64Guest", Options(preferences=KNOWN, guest="archrolling"))) == "debian"


def test_a_cluster_without_preferences_gets_a_vm_without_one():
    assert "preference" not in build("debian12_64Guest", Options())["spec"]


@pytest.mark.parametrize("name", sorted(KNOWN))
@pytest.mark.parametrize("bus", ["virtio", "sata"])
def test_no_preference_that_is_chosen_changes_disks_cards_firmware_or_tpm(name, bus):
    options = Options(disk_bus=bus, nic_model="e1000e" if bus == "sata" else "virtio")
    vm = build("debian12_64Guest", options)
    if preferences.choose(vm, [name], KNOWN) != name:
        return
    preferences.apply(vm, name, KNOWN[name])
    expansion = instancetype.expand(vm, None, KNOWN[name])
    assert not expansion.conflicts
    before, after = (v["spec"]["template"]["spec"]["domain"] for v in (vm, expansion.vm))
    assert after["devices"]["disks"][0]["disk"] == before["devices"]["disks"][0]["disk"]
    assert after["devices"]["interfaces"] == before["devices"]["interfaces"]
    assert (after["firmware"], after["cpu"], after["memory"]) == (before["firmware"], before["cpu"], before["memory"])
    assert "tpm" not in after["devices"]
