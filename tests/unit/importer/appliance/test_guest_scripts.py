"""The appliance's scripts on made-up guests, run by busybox in a chroot as in the appliance (without a VM)."""

import gzip
import json
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from isthmus.importer.convert import events as report_events

GUEST = Path(__file__).parents[4] / "src/isthmus/importer/appliance/guest"
CHROOT = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin") or "chroot"
BUSYBOX = shutil.which("busybox") or "/bin/busybox"
UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
MAC, MAC2 = "00:50:56:aa:00:01", "00:50:56:aa:00:02"
KV = "5.14.0-1.x86_64"
GRUB = f"""set default="0"
menuentry 'Linux' --class os $menuentry_id_option 'gnulinux-simple' {{
	linux /boot/vmlinuz-{KV} root=/dev/sda1 ro
	initrd /boot/initrd.img-{KV}
}}
"""


class Guest:
    """A root filesystem in a directory; `convert` runs convert.sh in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.devices = "/dev/vda ext4 - - -\n/dev/vda1 ext4 aaaa-1 root -\n/dev/vda5 swap bbbb-5 - -\n"
        for name in ("dev", "etc/systemd/system", "usr/lib/systemd", "usr/sbin", "usr/bin", "var/lib", "boot/grub"):
            (root / name).mkdir(parents=True)
        self.write("usr/lib/systemd/systemd", "")
        self.write("usr/sbin/update-initramfs", "")
        self.write("etc/initramfs-tools/modules", "# none\n")
        self.write("etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian \\"12\\" $(reboot)"\n')
        self.write("etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n/dev/sda5\tnone swap sw 0 0\n")
        self.write("boot/grub/grub.cfg", GRUB)
        self.add_kernel(KV)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def add_kernel(self, release: str, builtin: str = "", initrd: str = "initrd.img-") -> None:
        tree = f"lib/modules/{release}"
        names = [n for n in ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net") if n not in builtin]
        lines = [f"kernel/{n}.ko.xz: kernel/virtio.ko.xz\n" for n in names]
        self.write(f"{tree}/modules.dep", "".join(lines) + "kernel/virtio.ko.xz:\n")
        self.write(f"{tree}/modules.builtin", "".join(f"kernel/{n}.ko\n" for n in builtin.split()))
        for name in (*names, "virtio"):
            self.write(f"{tree}/kernel/{name}.ko.xz", f"module {name}")
        self.write(f"boot/vmlinuz-{release}", "")
        self.write(f"boot/{initrd}{release}{'.img' if initrd == 'initramfs-' else ''}", "OLD INITRD")

    def convert(self, *nics: str) -> list[dict]:
        tools = self.root / "dev/isthmus"
        shutil.rmtree(tools, ignore_errors=True)
        shutil.copytree(GUEST, tools)
        (tools / "work").mkdir()
        (tools / "bin").mkdir()
        shutil.copy(BUSYBOX, tools / "busybox")
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
            (tools / "bin" / applet).symlink_to("../busybox")
        (tools / "devices").write_text(self.devices)
        (tools / "nics").write_text("".join(f"{nic}\n" for nic in nics))
        (self.root / "dev/null").touch()
        serial = self.root.parent / "serial"
        script = (
            'exec 3>"$2"; export PATH=/dev/isthmus/bin; exec "$3" "$1" /dev/isthmus/busybox sh /dev/isthmus/convert.sh'
        )
        subprocess.run([*UNSHARE, "sh", "-c", script, "sh", self.root, serial, CHROOT], timeout=60, check=False)
        shutil.rmtree(tools)
        return [json.loads(line) for line in serial.read_text().splitlines()]

    def segment(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


@pytest.fixture
def guest(tmp_path):
    return Guest(tmp_path / "guest")


def changed(events):
    return {event["path"]: event for event in events if event["isthmus"] == "change"}


def verdict(events):
    return next((event for event in events if event["isthmus"] == "verdict"), None)


def pins(events):
    return {event["name"]: event["mac"] for event in events if event["isthmus"] == "interface"}


def test_a_common_guest_gets_drivers_uuids_and_a_first_boot_service(guest):
    events = guest.convert()
    assert verdict(events) is None
    assert guest.read("etc/fstab") == "UUID=aaaa-1 / ext4 defaults 0 1\nUUID=bbbb-5\tnone swap sw 0 0\n"
    assert "root=UUID=aaaa-1 ro" in guest.read("boot/grub/grub.cfg")
    data = guest.segment(f"boot/initrd.img-{KV}")
    assert data.endswith(b"OLD INITRD")
    assert (len(data) - len(b"OLD INITRD")) % 512 == 0
    assert b"\0lib\0" not in data.replace(b"isthmus/lib", b"")
    assert "virtio_blk" in guest.read("etc/initramfs-tools/modules")
    assert KV in guest.read("var/lib/isthmus/first-boot")


def test_every_changed_file_has_its_original_kept_and_named(guest):
    before = {name: guest.read(name) for name in ("etc/fstab", "boot/grub/grub.cfg", f"boot/initrd.img-{KV}")}
    events = changed(guest.convert())
    for name, text in before.items():
        original = events[f"/{name}"]["original"]
        assert guest.read(original.lstrip("/")) == text


def test_a_second_run_changes_nothing(guest):
    guest.convert(MAC)
    time.sleep(1.1)  # times of files have seconds
    assert changed(guest.convert(MAC)) == {}


def test_an_initrd_that_the_guest_has_rebuilt_since_is_the_new_original(guest):
    guest.convert(MAC)
    guest.write(f"boot/initrd.img-{KV}", "REBUILT")
    guest.convert(MAC)
    assert guest.segment(f"boot/initrd.img-{KV}").endswith(b"REBUILT")
    assert guest.read(f"var/lib/isthmus/original/boot/initrd.img-{KV}") == "REBUILT"


def test_the_name_of_the_system_is_text_and_not_run(guest):
    event = next(event for event in guest.convert() if event["isthmus"] == "os")
    assert "$(reboot)" in event["name"]


def test_links_that_lead_out_of_the_guest_stay_inside(guest, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("/dev/sda1 / ext4\n")
    (guest.root / "etc/fstab").unlink()
    (guest.root / "etc/fstab").symlink_to(outside)
    (guest.root / "etc/crypttab").symlink_to(os.path.relpath(outside, guest.root / "etc"))
    guest.convert()
    assert outside.read_text() == "/dev/sda1 / ext4\n"


def test_a_pipe_in_place_of_a_file_does_not_hang(guest):
    (guest.root / "etc/fstab").unlink()
    os.mkfifo(guest.root / "etc/fstab")
    guest.convert()


def test_a_guest_without_a_known_initramfs_builder_is_declined_untouched(guest):
    (guest.root / "usr/sbin/update-initramfs").unlink()
    events = guest.convert()
    assert verdict(events)["verdict"] == "unsupported"
    assert changed(events) == {}
    assert guest.read("etc/fstab").startswith("/dev/sda1")


def test_a_kernel_without_virtio_is_declined_untouched(guest):
    guest.write(f"lib/modules/{KV}/modules.dep", "kernel/sd_mod.ko:\n")
    events = guest.convert()
    assert verdict(events)["verdict"] == "unsupported"
    assert "virtio_pci" in verdict(events)["reason"]
    assert changed(events) == {}


def test_drivers_that_are_built_in_need_no_modules(guest):
    shutil.rmtree(guest.root / "lib/modules")
    guest.add_kernel(KV, builtin="virtio_pci virtio_blk virtio_scsi sd_mod virtio_net")
    assert verdict(guest.convert()) is None


def test_saved_entry_in_a_submenu_names_the_default_kernel(guest):
    guest.add_kernel("5.10.0-1.x86_64")
    entry = GRUB.replace(KV, "5.10.0-1.x86_64").replace("gnulinux-simple", "gnulinux-510").replace("\n", "\n\t")
    body = entry.split("\n\t", 1)[1].rstrip("\t")
    menu = (
        GRUB.replace('default="0"', 'default="${saved_entry}"')
        + "submenu 'More' $menuentry_id_option 'more' {\n\t"
        + body
        + "}\n"
    )
    guest.write("boot/grub/grub.cfg", menu)
    guest.write("boot/grub/grubenv", "# GRUB Environment Block\nsaved_entry=more>gnulinux-510\n####")
    event = next(event for event in guest.convert() if event["isthmus"] == "kernel")
    assert event["release"] == "5.10.0-1.x86_64"
    assert guest.segment(f"boot/initrd.img-{KV}").endswith(b"OLD INITRD")


def test_boot_loader_specification_entries_are_read_and_the_rescue_entry_is_not(guest):
    (guest.root / "boot/grub").rename(guest.root / "boot/grub2")
    guest.write("boot/grub2/grub.cfg", 'set default="${saved_entry}"\nblscfg\n')
    guest.add_kernel("5.14.0-9.x86_64", initrd="initramfs-")
    guest.add_kernel("5.14.0-10.x86_64", initrd="initramfs-")
    for release in ("5.14.0-9.x86_64", "5.14.0-10.x86_64", "0-rescue-abc"):
        guest.write(
            f"boot/loader/entries/abc-{release}.conf",
            f"title Linux ({release})\nversion {release}\nlinux /vmlinuz-{release}\n"
            f"initrd /initramfs-{release}.img $tuned_initrd\noptions root=/dev/sda1 ro\n",
        )
    event = next(event for event in guest.convert() if event["isthmus"] == "kernel")
    assert (event["release"], event["kernels"]) == ("5.14.0-10.x86_64", "2")
    assert "options root=UUID=aaaa-1 ro" in guest.read("boot/loader/entries/abc-5.14.0-10.x86_64.conf")
    guest.write("boot/grub2/grubenv", "saved_entry=abc-5.14.0-9.x86_64\n")
    event = next(event for event in guest.convert() if event["isthmus"] == "kernel")
    assert event["release"] == "5.14.0-9.x86_64"


@pytest.mark.parametrize(
    ("files", "nics", "expected"),
    [
        ({"etc/network/interfaces": "auto lo\niface lo inet loopback\nauto ens192\niface ens192 inet static\n"},
         [MAC], {"ens192": MAC}),
        ({"etc/network/interfaces": "source interfaces.d/*\n",
          "etc/network/interfaces.d/a": "iface ens224 inet dhcp\niface ens192 inet dhcp\niface ens192:0 inet static\n"},
         [MAC, MAC2], {"ens192": MAC, "ens224": MAC2}),
        ({"etc/network/interfaces": "iface br0 inet dhcp\n bridge_ports ens192\niface ens192 inet manual\n"},
         [MAC], {"ens192": MAC}),
        ({"etc/NetworkManager/system-connections/a.nmconnection":
          "[connection]\nid=a\ntype=ethernet\ninterface-name=ens192\n[ipv4]\nmethod=manual\n"}, [MAC], {"ens192": MAC}),
        ({"etc/NetworkManager/system-connections/a.nmconnection":
          "[connection]\ntype=wifi\ninterface-name=wlan0\n"}, [MAC], {}),
        ({"etc/sysconfig/network-scripts/ifcfg-ens192": 'DEVICE="ens192"\nBOOTPROTO=none\n',
          "etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\n",
          "etc/sysconfig/network-scripts/ifcfg-ens224": f'NAME=x\nDEVICE=ens224\nHWADDR="{MAC.upper()}"\n'},
         [MAC, MAC2], {"ens224": MAC, "ens192": MAC2}),
        ({"etc/netplan/01.yaml": "network:\n  version: 2\n  ethernets:\n    ens192:\n      addresses: [192.0.2.1/24]\n"
          "    lan:\n      match:\n        macaddress: '00:50:56:aa:00:02'\n      set-name: lan0\n"
          "  vlans:\n    v9:\n      id: 9\n"},
         [MAC, MAC2], {"ens192": MAC, "lan0": MAC2}),
        ({"etc/systemd/network/a.network": "[Match]\nName=ens192\n[Network]\nAddress=192.0.2.1/24\n",
          "etc/systemd/network/b.network": "[Match]\nName=en*\n[Network]\nDHCP=yes\n"}, [MAC], {"ens192": MAC}),
        ({"etc/udev/rules.d/70-persistent-net.rules":
          f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{MAC2}", NAME="eth0"\n'}, [MAC, MAC2], {"eth0": MAC2}),
        ({"etc/network/interfaces": "iface ens192 inet static\n"}, [f"{MAC},uplink0"], {"uplink0": MAC}),
        ({}, [MAC], {}),
    ],
)  # fmt: skip
def test_configured_interfaces_keep_their_names(guest, files, nics, expected):
    for name, text in files.items():
        guest.write(name, text)
    events = guest.convert(*nics)
    assert pins(events) == expected
    for name, mac in expected.items():
        link = guest.read(f"etc/systemd/network/10-isthmus-{name}.link")
        assert f"MACAddress={mac}" in link
        assert f"Name={name}" in link


STATIC = {
    "ifupdown": {"etc/network/interfaces": "auto ens192\niface ens192 inet static\n\taddress 192.0.2.1\n"
                 "\tnetmask 255.255.255.128\niface ens192 inet6 static\n\taddress 2001:db8::1/64\n"
                 "iface ens224 inet static\n address 192.0.2.99/24\n"},  # not auto: does not come up
    "keyfile": {"etc/NetworkManager/system-connections/a.nmconnection":
                "[connection]\ntype=ethernet\ninterface-name=ens192\n[ipv4]\nmethod=manual\n"
                "address1=192.0.2.1/25,192.0.2.126\ndns=192.0.2.53;\n[ipv6]\naddresses=2001:db8::1/64;\n"},
    "ifcfg": {"etc/sysconfig/network-scripts/ifcfg-ens192": "DEVICE=ens192\nIPADDR=192.0.2.1\n"
              "NETMASK=255.255.255.128\nIPV6ADDR=2001:db8::1/64\nGATEWAY=192.0.2.126\nONBOOT=yes\n"},
    "suse": {"etc/sysconfig/network/ifcfg-ens192": "BOOTPROTO='static'\nIPADDR='192.0.2.1/25'\n"
             "IPADDR_1='2001:db8::1/64'\nSTARTMODE='auto'\n"},
    "netplan": {"etc/netplan/01.yaml": "network:\n  ethernets:\n    ens192:\n      addresses:\n"
                "        - 192.0.2.1/25\n        - \"2001:db8::1/64\"\n      nameservers:\n"
                "        addresses: [192.0.2.53]\n      routes:\n        - to: default\n          via: 192.0.2.126\n"},
    "netplan, inline": {"etc/netplan/01.yaml": "network:\n  ethernets:\n    ens192:\n"
                        "      addresses: [192.0.2.1/25, '2001:db8::1/64']\n"
                        "      nameservers: {addresses: [192.0.2.53]}\n"},
    "networkd": {"etc/systemd/network/a.network": "[Match]\nName=ens192\n[Network]\nAddress=192.0.2.1/25\n"
                 "DNS=192.0.2.53\n[Address]\nAddress=2001:db8::1/64\n[Route]\nGateway=192.0.2.126\n"},
}  # fmt: skip


@pytest.mark.parametrize("files", STATIC.values(), ids=STATIC)
def test_static_addresses_are_reported_as_configured(guest, files):
    for name, text in files.items():
        guest.write(name, text)
    report = report_events.parse(json.dumps(event) for event in guest.convert(MAC))
    assert report.addresses == {"ens192": ["192.0.2.1/25", "2001:db8::1/64"]}


def test_a_guest_with_uefi_gets_its_boot_loader_where_a_new_firmware_looks(guest):
    (guest.root / "boot/efi/EFI/other").mkdir(parents=True)
    for name in ("debian/shimx64.efi", "debian/grubx64.efi", "other/grubx64.efi"):
        guest.write(f"boot/efi/EFI/{name}", name)
    guest.convert()
    assert guest.read("boot/efi/EFI/BOOT/BOOTX64.EFI") == "debian/shimx64.efi"
    assert guest.read("boot/efi/EFI/BOOT/grubx64.efi") == "debian/grubx64.efi"


def test_a_fallback_boot_loader_that_is_there_stays(guest):
    guest.write("boot/efi/EFI/debian/grubx64.efi", "debian")
    guest.write("boot/efi/EFI/Boot/bootx64.efi", "there before")
    guest.convert()
    assert guest.read("boot/efi/EFI/Boot/bootx64.efi") == "there before"
    assert not (guest.root / "boot/efi/EFI/BOOT").exists()


def test_an_interface_without_a_counterpart_is_warned_of(guest):
    guest.write("etc/network/interfaces", "iface ens192 inet static\niface ens224 inet static\n")
    events = guest.convert(MAC)
    assert any("ens224" in event["message"] for event in events if event["isthmus"] == "warning")


def test_vmware_services_are_taken_out_of_the_boot_and_can_be_put_back(guest):
    wants = guest.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / "open-vm-tools.service").symlink_to("/lib/systemd/system/open-vm-tools.service")
    events = changed(guest.convert())
    assert not (wants / "open-vm-tools.service").is_symlink()
    original = events["/etc/systemd/system/multi-user.target.wants/open-vm-tools.service"]["original"]
    assert (guest.root / original.lstrip("/")).is_symlink()


def test_the_initrd_keeps_its_mode(guest):
    initrd = guest.root / f"boot/initrd.img-{KV}"
    initrd.write_bytes(gzip.compress(b"x"))
    initrd.chmod(0o600)
    guest.convert()
    assert stat.S_IMODE(initrd.stat().st_mode) == 0o600
