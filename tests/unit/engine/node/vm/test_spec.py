from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.engine.node.net.model import BridgeNetwork, PodNetwork
from isthmus.engine.node.vm import disks, interfaces, spec
from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vm.machine import Host, Image

HOST = Host("/usr/bin/qemu", (7, 2, 0), "tcg", machine_types=("q35", "pc-q35-7.2"))


def vmi_of(domain=None, **rest):
    domain = {"memory": {"guest": "64Mi"}, **(domain or {})}
    return {"metadata": {"namespace": "ns", "name": "vm", "uid": "u"}, "spec": {"domain": domain, **rest}}


def build(vmi, images=None, host=HOST):
    vmi["spec"]["domain"].setdefault("devices", {})["autoattachPodInterface"] = False
    return spec.build_machine(vmi, images or {}, {}, host, Path("/vms/u"))


@pytest.mark.parametrize(
    ("domain", "size"),
    [
        ({"memory": {"guest": "1Gi"}, "resources": {"requests": {"memory": "2Gi"}}}, 1 << 30),
        ({"memory": {}, "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "3Gi"}}}, 2 << 30),
        ({"memory": {}, "resources": {"limits": {"memory": "3Gi"}}}, 3 << 30),
        ({"memory": {"hugepages": {"pageSize": "2Mi"}}}, 2 << 20),
        ({"memory": {"guest": "1500k"}}, 2 << 20),
    ],
)
def test_memory_comes_from_the_first_place_that_names_it(domain, size):
    assert spec.find_memory(domain) == size


def test_without_memory_the_field_is_named():
    with pytest.raises(SpecError, match=r"spec\.domain\.memory\.guest"):
        spec.find_memory({})


@pytest.mark.parametrize(
    ("domain", "vcpus"),
    [
        ({}, 1),
        ({"cpu": {"cores": 3}}, 3),
        ({"cpu": {"sockets": 2, "cores": 2, "threads": 2}}, 8),
        ({"resources": {"limits": {"cpu": "2500m"}}}, 3),
        ({"cpu": {"model": "host-model"}, "resources": {"requests": {"cpu": "2"}}}, 2),
    ],
)
def test_cpus_follow_the_topology_or_else_the_resources(domain, vcpus):
    assert spec.build_topology(domain).vcpus == vcpus


def test_the_identity_survives_a_restart_and_differs_between_namespaces():
    other = vmi_of()
    other["metadata"]["namespace"] = "other"
    assert spec.firmware_uuid(vmi_of()) == spec.firmware_uuid(vmi_of()) != spec.firmware_uuid(other)


def test_a_machine_type_of_another_distribution_becomes_ours_with_a_note():
    machine = build(vmi_of({"machine": {"type": "pc-q35-rhel9.4.0"}}))
    assert machine.machine_type == "q35"
    assert "pc-q35-rhel9.4.0" in machine.notes[0]


@pytest.mark.parametrize(
    ("domain", "field"),
    [
        ({"machine": {"type": "virt"}}, "spec.domain.machine.type"),
        ({"firmware": {"uuid": "x"}}, "spec.domain.firmware.uuid"),
        ({"firmware": {"bootloader": {"efi": {}}}}, "spec.domain.firmware.bootloader.efi"),
        ({"devices": {"gpus": [{"name": "g"}]}}, "spec.domain.devices.gpus"),
        ({"devices": {"tpm": {}}}, "spec.domain.devices.tpm"),
        ({"devices": {"video": {"type": "x,y"}}}, "spec.domain.devices.video.type"),
        ({"devices": {"disks": [{"name": "x"}]}}, "spec.domain.devices.disks[x]"),
        ({"clock": {"timezone": "../x"}}, "spec.domain.clock.timezone"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(domain, field):
    with pytest.raises(SpecError) as caught:
        build(vmi_of(domain))
    assert caught.value.field == field


def test_an_offset_of_the_clock_is_a_time_zone():
    machine = build(vmi_of({"clock": {"utc": {"offsetSeconds": 5400}}}))
    assert (machine.clock_base, machine.timezone) == ("localtime", "<UTC>-1:30:00")


@pytest.mark.parametrize(
    ("cache", "io", "image", "expected"),
    [
        ("", "", Image(Path("/x")), ("none", "threads")),
        ("", "", Image(Path("/x"), preallocated=True), ("none", "native")),
        ("", "", Image(Path("/x"), block_device=True), ("none", "native")),
        ("", "", Image(Path("/x"), direct=False), ("writethrough", "threads")),
        ("none", "", Image(Path("/x"), direct=False), ("writethrough", "threads")),
        ("writeback", "native", Image(Path("/x")), ("writeback", "threads")),
        ("none", "native", Image(Path("/x")), ("none", "native")),
    ],
)
def test_cache_and_io_follow_what_the_file_system_can_do(cache, io, image, expected):
    *found, why = disks.choose_io(cache, io, image)
    assert tuple(found) == expected
    assert why


def test_a_volume_without_a_disk_gets_one():
    spec_ = {"domain": {}, "volumes": [{"name": "v", "emptyDisk": {}}, {"name": "dump", "memoryDump": {}}]}
    assert [disk["name"] for disk in disks.list_disks(spec_)] == ["v"]


def test_boot_order_is_the_order_of_the_spec_unless_somebody_says_otherwise():
    images = {name: Image(Path("/x")) for name in "ab"}
    volumes = [{"name": name, "emptyDisk": {}} for name in "ab"]
    plain = disks.build_disks({"domain": {}, "volumes": volumes}, images, 0)
    assert [disk.boot_index for disk in plain] == [1, 2]
    asked = {"devices": {"disks": [{"name": "a"}, {"name": "b", "bootOrder": 1}]}}
    assert [d.boot_index for d in disks.build_disks({"domain": asked, "volumes": volumes}, images, 0)] == [None, 1]


def test_a_read_only_sata_disk_is_refused_because_there_is_none():
    spec_ = {
        "domain": {"devices": {"disks": [{"name": "a", "disk": {"bus": "sata", "readonly": True}}]}},
        "volumes": [{"name": "a", "emptyDisk": {}}],
    }
    with pytest.raises(SpecError, match="read-only"):
        disks.build_disks(spec_, {"a": Image(Path("/x"))}, 0)


def test_an_empty_drive_is_a_drive():
    spec_ = {"domain": {"devices": {"disks": [{"name": "tray", "cdrom": {"bus": "virtio"}}]}}, "volumes": []}
    (drive,) = disks.build_disks(spec_, {}, 0)
    assert (drive.device, drive.bus, drive.image) == ("cdrom", "sata", None)


def test_without_interfaces_there_is_the_pod_network():
    (request,) = interfaces.build_requests(vmi_of(), {})
    assert (request.binding, request.network) == ("masquerade", PodNetwork(""))


def test_a_network_attachment_is_found_in_the_namespace_of_the_vmi():
    vmi = vmi_of(
        {"devices": {"interfaces": [{"name": "n", "bridge": {}}]}},
        networks=[{"name": "n", "multus": {"networkName": "lan"}}],
    )
    lan = BridgeNetwork("ns/lan", "br0")
    assert interfaces.attachment_names(vmi) == ["ns/lan"]
    assert interfaces.build_requests(vmi, {"ns/lan": lan})[0].network is lan
    with pytest.raises(SpecError, match="ns/lan"):
        interfaces.build_requests(vmi, {})


def test_an_interface_that_is_absent_is_not_asked_for():
    vmi = vmi_of(
        {"devices": {"interfaces": [{"name": "a", "masquerade": {}}, {"name": "b", "bridge": {}, "state": "absent"}]}},
        networks=[{"name": "a", "pod": {}}, {"name": "b", "multus": {"networkName": "x"}}],
    )
    assert [request.name for request in interfaces.build_requests(vmi, {})] == ["a"]


@pytest.mark.parametrize(("efi", "place"), [({}, "/vms/u"), ({"persistent": True}, "/state/ns/vm")])
def test_uefi_variables_outlive_the_instance_only_if_they_are_asked_to(efi, place):
    vmi = vmi_of(
        {
            "firmware": {"bootloader": {"efi": {"secureBoot": False, **efi}}},
            "devices": {"autoattachPodInterface": False},
        }
    )
    host = replace(HOST, firmwares=(("plain", Path("/code.fd"), Path("/vars.fd")),))
    machine = spec.build_machine(vmi, {}, {}, host, Path("/vms/u"), None, Path("/state/ns/vm"))
    assert machine.firmware.vars_file == Path(place, "efi-vars.fd")
