"""Packages of other makers: their disks arrive whole, their machines are what they were."""

import re
from pathlib import Path

import pytest
from tests.vmware import disks, make_ova, makers, ovf

from isthmus.importer.map import claims, virtual_machine
from isthmus.importer.sources import opening
from isthmus.importer.worker import inspect

SIZE = (5 << 20) + 1536


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("raws")
    return [disks.make(base / f"{n}.raw", size=SIZE, seed=n) for n in (1, 2, 3, 4)]


def a_machine(path: Path, name: str = ""):
    package = opening.open_package(str(path))
    inspect.describe(package)
    return package.envelope.machine(name)


def mapped(machine) -> dict:
    networks = list(dict.fromkeys(nic.network for nic in machine.nics))
    targets = {network: "pod" if n == 0 else f"default/lan-{n}" for n, network in enumerate(networks)}
    return virtual_machine.virtual_machine(machine, "m", "default", claims.claim_names(machine, "m"), targets)


@pytest.mark.parametrize(
    ("maker", "machine", "count"),
    [("VirtualBox", "", 1), ("qemu-img", "", 2), ("vApp", "front end", 2), ("mixed controllers", "", 4)],
)
def test_all_disks_arrive(volumes, tmp_path: Path, raws, maker: str, machine: str, count: int):
    path = makers.MAKERS[maker](tmp_path, raws[:count])
    ids = [disk.id for disk in a_machine(path, machine).disks]
    last = volumes.transfer(str(path), *ids, machine=machine)
    assert len(ids) == count
    for identifier in ids:
        number = int("".join(c for c in identifier if c.isdigit()))
        assert volumes.content(identifier)[:SIZE] == raws[number - 1].read_bytes()
    assert all(disk.verified == (maker == "VirtualBox") for disk in last.disks)


def test_virtualbox_says_less_and_is_understood(tmp_path: Path, raws):
    machine = a_machine(makers.virtualbox(tmp_path, raws[:1]))
    assert (machine.name, machine.cpus, machine.memory) == ("Ubuntu Test", 2, 2 << 30)
    assert machine.disks[0].controller.bus == "sata"


def test_a_vapp_has_its_machines_in_the_order_in_which_they_start(tmp_path: Path, raws):
    path = makers.vapp(tmp_path, raws[:1])
    package = opening.open_package(str(path))
    assert [machine.name for machine in package.envelope.machines] == ["other", "front end"]
    vm = mapped(a_machine(path, "front end"))["spec"]["template"]["spec"]["domain"]
    assert vm["firmware"]["bootloader"] == {"efi": {"secureBoot": True}}
    assert vm["features"]["smm"] == {"enabled": True}


def test_disks_of_every_controller_and_all_cards_become_virtio_the_disk_to_boot_from_first(tmp_path: Path, raws):
    machine = a_machine(makers.mixed(tmp_path, raws))
    assert [disk.controller.bus.value for disk in machine.disks] == ["ide", "nvme", "sata", "scsi"]
    devices = mapped(machine)["spec"]["template"]["spec"]["domain"]["devices"]
    assert [(d["bootOrder"], d["disk"]["bus"]) for d in devices["disks"]] == [(n, "virtio") for n in (1, 2, 3, 4)]
    assert [i["macAddress"][-1] for i in devices["interfaces"]] == ["1", "2", "3"]


def test_a_capacity_that_the_descriptor_does_not_tell_is_found_in_the_disk(tmp_path: Path, raws):
    text = make_ova.make_folder(tmp_path, ovf.Machine("m", ()), raws[:1], digest="")
    text.write_text(re.sub(r' ovf:capacity="\d+"', "", text.read_text()))
    machine = inspect.describe(opening.open_package(str(text)))["machines"][0]
    assert machine["disks"][0]["capacity"] == SIZE
