"""Every kind of volume, bus and firmware, as guests see them: two machines show nearly all of it.

`many` boots from a SATA disk and has the other volumes on virtio and SCSI, disks and CD-ROMs; `uefi` boots a kernel of
an image by UEFI.
"""

import json
from pathlib import Path

import pytest
from tests.e2e import manifests
from tests.e2e.platform import wait_for
from tests.e2e.virtctl import Virtctl
from tests.guests import tiny

from isthmus.codec import ociarchive

pytestmark = pytest.mark.e2e
MANY, UEFI = "many", "uefi"
SCSI = {"disk": {"disk": {"bus": "scsi"}}}
CDROM = {"disk": {"cdrom": {"bus": "scsi"}}}
SERIAL = "ISTHMUS-1"


def volumes(host_disk):
    drive = {"name": "drive"}
    user = {"userData": "#cloud-config\npassword: x\n", "networkData": "version: 2\n"}
    return [
        {"name": "seed", "cloudInitNoCloud": user, **CDROM},
        {"name": "drive", "cloudInitConfigDrive": {"secretRef": drive, "networkDataSecretRef": drive}},
        {"name": "config", "configMap": {"name": "settings", "volumeLabel": "settings"}, **SCSI},
        {"name": "keys", "secret": {"secretName": "keys", "volumeLabel": "keys"}},
        {"name": "meta", "downwardAPI": {"volumeLabel": "meta", "fields": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "account", "serviceAccount": {"serviceAccountName": "default"}},
        {"name": "scratch", "emptyDisk": {"capacity": "64Mi"},
         "disk": {"disk": {"bus": "virtio"}, "serial": SERIAL}},
        {"name": "host", "hostDisk": {"path": str(host_disk), "type": "DiskOrCreate", "capacity": "8Mi"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}, **SCSI},
        {"name": "filled", "dataVolume": {"name": "filled"}},
        {"name": "over", "ephemeral": {"persistentVolumeClaim": {"claimName": "base"}}},
    ]  # fmt: skip


@pytest.fixture(scope="module")
def many(running_platform, tmp_path_factory):
    """The machine with everything, logged in at its console."""
    platform = running_platform
    host_disk = tmp_path_factory.mktemp("host") / "host.img"
    with platform.space.entered():
        platform.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects())))
        vm = manifests.vm(MANY, "Always", *volumes(host_disk))
        disks = vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"]
        disks[0] = {"name": "root", "disk": {"bus": "sata"}, "bootOrder": 1}
        platform.create(vm)
        platform.wait_condition("vm", MANY, "Ready", 60)
        yield host_disk
        platform.delete("vm", MANY)
        platform.wait_gone("vmi", MANY)
        platform.kubectl("delete", "dv", "filled")
        platform.kubectl("delete", "pvc", "data", "base")


def objects():
    data = manifests.claim("data", "64Mi"), manifests.claim("base", "16Mi")
    return [
        *data,
        manifests.data_volume("filled", {"blank": {}}, "16Mi"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"pin": "1234"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "drive"}, "stringData": {
            "userdata": "#!/bin/sh\necho hello\n", "networkdata": '{"links": []}'}},
    ]  # fmt: skip


@pytest.fixture
def shell(platform, virtctl, many):
    console = virtctl.console(MANY).login(90)
    yield console
    console.close()


def read(shell, label, *files):
    """Files of a small CD-ROM or disk that is found by its label."""
    wanted = f'[ "$(dd if=/dev/$d bs=8 skip=4101 count=4 2>/dev/null | tr -d " ")" = {label} ]'  # ECMA-119, 8.4.7
    device = shell.run(f"for d in $(ls /sys/block); do {wanted} && echo /dev/$d; done; true").split()
    assert device, label
    device = device[0]
    texts = shell.run(f"mkdir -p /m && mount -t iso9660 {device} /m && cat {' '.join(f'/m/{f}' for f in files)}")
    assert shell.status == 0, texts
    shell.run("umount /m")
    return texts


def test_a_guest_boots_from_a_sata_disk_and_the_status_names_its_disks(platform, shell, many):
    status = {v["name"]: v for v in platform.get("vmi", MANY)["status"]["volumeStatus"]}
    assert status["root"]["target"] == "sda"
    assert status["drive"]["target"] == "vda"
    info = status["data"]["persistentVolumeClaimInfo"]
    assert (info["claimName"], info["capacity"]["storage"]) == ("data", "64Mi")
    assert status["root"]["containerDiskVolume"] == {}


def test_cloud_inits_sources_are_where_cloud_init_looks(platform, shell, many):
    texts = read(shell, "cidata", "user-data", "meta-data", "network-config")
    assert "#cloud-config" in texts and '"local-hostname": "many"' in texts and "version: 2" in texts
    texts = read(shell, "config-2", "openstack/latest/user_data", "openstack/latest/meta_data.json",
                 "openstack/latest/network_data.json")  # fmt: skip
    assert "echo hello" in texts and '"hostname": "many"' in texts and '"links"' in texts


def test_objects_of_the_api_are_disks_with_files(platform, shell, many):
    assert read(shell, "settings", "colour") == "blue"
    assert read(shell, "keys", "pin") == "1234"
    assert read(shell, "meta", "labels") == 'app="many"'
    assert read(shell, "cfgdata", "namespace") == "default"
    assert read(shell, "cfgdata", "token").count(".") == 2


def machine_disk(platform, name):
    uid = platform.get("vmi", MANY)["metadata"]["uid"]
    return platform.home.node(platform.node) / "vms" / uid / "disks" / name


def test_an_empty_disk_is_thin_has_its_serial_and_gives_back_what_is_discarded(platform, shell, many):
    device = shell.run(f"grep -l {SERIAL} /sys/block/*/serial").split("/")[3]
    image = machine_disk(platform, "scratch.img")
    assert (image.stat().st_size, image.stat().st_blocks) == (64 << 20, 0)
    shell.run(f"dd if=/dev/urandom of=/dev/{device} bs=1M count=8 conv=fsync", 60)
    assert shell.status == 0
    assert image.stat().st_blocks * 512 >= 8 << 20
    shell.run(f"blkdiscard /dev/{device}")
    assert shell.status == 0
    wait_for(lambda: image.stat().st_blocks == 0, 5)


def size_of(shell, size):
    """The block device of that many MiB."""
    found = shell.run(f"grep -lx {size * 2048} /sys/block/*/size").split()
    assert len(found) == 1, found
    return "/dev/" + found[0].split("/")[3]


def test_a_host_disk_is_the_hosts_file(platform, shell, many):
    assert many.stat().st_size == 8 << 20
    shell.run(f"printf from-the-guest > {size_of(shell, 8)}; sync")
    assert many.read_bytes().startswith(b"from-the-guest")


def test_a_claims_data_outlive_the_machine_and_what_an_ephemeral_volume_takes_does_not(platform, virtctl, shell, many):
    old = platform.get("vmi", MANY)["metadata"]["uid"]
    shell.run("printf kept > /dev/$(basename $(dirname $(grep -lx 131072 /sys/block/sd*/size)))")
    claims = {name: claim_disk(platform, name) for name in ("data", "base")}
    over = shell.run("for d in /sys/block/vd*; do [ $(cat $d/size) = 32768 ] && echo /dev/${d##*/}; done").split()
    assert len(over) == 2, over
    for device in over:
        shell.run(f"printf gone > {device}")
    shell.run("sync")
    assert claims["data"].read_bytes().startswith(b"kept")
    assert not claims["base"].stat().st_blocks
    assert claim_disk(platform, "filled").read_bytes().startswith(b"gone")
    shell.close()
    virtctl.restart(MANY)
    wait_for(lambda: (v := platform.find("vmi", MANY)) and v["metadata"]["uid"] != old, 60)
    platform.wait_phase("vmi", MANY, "Running", 60)
    again = virtctl.console(MANY).login(90)
    assert again.run("head -c 4 /dev/$(basename $(dirname $(grep -lx 131072 /sys/block/sd*/size)))") == "kept"
    heads = again.run("for d in /sys/block/vd*; do [ $(cat $d/size) = 32768 ] && head -c 4 /dev/${d##*/}; done; echo")
    assert heads.replace("\0", "") == "gone"  # the data volume's; the ephemeral one is as it was
    again.close()


def claim_disk(platform, name) -> Path:
    volume = platform.get("pv", platform.get("pvc", name)["spec"]["volumeName"])
    return Path(volume["spec"]["local"]["path"]) / "disk.img"


def test_why_each_disk_has_its_cache_and_aio_is_recorded(platform, many):
    uid = platform.get("vmi", MANY)["metadata"]["uid"]
    record = json.loads((platform.home.node(platform.node) / "vms" / uid / "machine.json").read_text())
    for disk in record["disks"]:
        assert disk["cache"] in ("none", "writeback", "writethrough") and disk["io"] in (
            "native",
            "threads",
            "io_uring",
        )
        assert disk["why"], disk
    text = json.dumps(record["argv"])
    assert '\\"no-flush\\": true' not in text and '\\"no-flush\\":true' not in text  # flushed is flushed


def test_a_guest_boots_by_uefi_from_a_kernel_in_an_image(platform, virtctl, tmp_path):
    import asyncio

    guest = asyncio.run(tiny.build())
    archive = tmp_path / "boot.tar"
    with archive.open("wb") as out, guest.kernel.open("rb") as kernel, guest.initrd.open("rb") as initrd:
        members = [
            ociarchive.Member("boot/vmlinuz", kernel, guest.kernel.stat().st_size, 0o444, 0),
            ociarchive.Member("boot/initrd", initrd, guest.initrd.stat().st_size, 0o444, 0),
        ]
        with (tmp_path / "scratch").open("w+b") as scratch:
            ociarchive.write(out, ociarchive.Image("isthmus.test/boot:1"), members, scratch)
    platform.isthmus("image load", str(archive), "--name", "isthmus.test/boot:1")
    container = {"image": "isthmus.test/boot:1", "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd"}
    boot = {"container": container, "kernelArgs": "console=ttyS0 quiet hostname=by-uefi"}
    firmware = {"bootloader": {"efi": {"secureBoot": False}}, "kernelBoot": boot, "serial": "S-1"}
    platform.create(manifests.vmi(UEFI, domain={"memory": {"guest": "256Mi"}, "firmware": firmware}))
    try:
        platform.wait_phase("vmi", UEFI, "Running", 30)
        shell = Virtctl(platform).console(UEFI).login(120)
        assert shell.run("[ -d /sys/firmware/efi ] && echo uefi; hostname") == "uefi\nby-uefi"
        assert shell.run("cat /sys/class/dmi/id/product_serial") == "S-1"
        shell.close()
    finally:
        platform.delete("vmi", UEFI, gracePeriodSeconds=0)
        platform.wait_gone("vmi", UEFI)
