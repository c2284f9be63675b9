"""Guest ids as VMware and VirtualBox write them, names for Kubernetes, amounts of OVF."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.importer.map import claims, guests, names
from isthmus.importer.sources import ovfhardware, units


@pytest.mark.parametrize(
    ("guest_id", "os", "preference"),
    [
        ("debian10_64Guest", "debian10", "debian"),
        ("debian12_64Guest", "debian12", "debian"),
        ("ubuntu64Guest", "ubuntu", "ubuntu"),
        ("rhel9_64Guest", "rhel9", "rhel.9"),
        ("rhel6_64Guest", "rhel6", "linux"),
        ("centos64Guest", "centos", "linux"),
        ("centos7_64Guest", "centos7", "centos.7"),
        ("sles15_64Guest", "sle15", "sles"),
        ("oracleLinux8_64Guest", "ol8", "oraclelinux"),
        ("rockylinux_64Guest", "rocky", "linux"),
        ("vmwarePhoton64Guest", "photon", "linux"),
        ("other5xLinux64Guest", "linux2022", "linux"),
        ("genericLinuxGuest", "linux2022", "linux"),
        ("windows9_64Guest", "win10", "windows.10"),
        ("windows9Server64Guest", "win2k16", "windows.2k16"),
        ("windows2019srv_64Guest", "win2k19", "windows.2k19"),
        ("windows2019srvNext_64Guest", "win2k22", "windows.2k22"),
        ("windows2022srvNext_64Guest", "win2k25", "windows.2k25"),
        ("windows11_64Guest", "win11", "windows.11"),
        ("windows7Server64Guest", "win2k8r2", "windows.2k8"),
        ("winXPProGuest", "winxp", "windows.xp"),
        ("Ubuntu_64", "ubuntu", "ubuntu"),
        ("Debian12_64", "debian12", "debian"),
        ("Windows2022_64", "win2k22", "windows.2k22"),
        ("vmkernel8Guest", "", ""),
        ("otherGuest64", "", ""),
        ("", "", ""),
    ],
)
def test_a_guest_id_stands_for_an_operating_system(guest_id: str, os: str, preference: str):
    guest = guests.find_guest(guest_id)
    assert (guest.os, guest.preference) == (os, preference)
    assert guest.windows == guest_id.lower().startswith("win")


@pytest.mark.parametrize(
    ("found", "os", "preference"),
    [
        ("debian12", "debian12", "debian"),
        ("ubuntu22.04", "ubuntu22.04", "ubuntu"),
        ("rhel9.4", "rhel9", "rhel.9"),
        ("centos9", "centos9", "centos.stream9"),
        ("rocky9.3", "rocky9", "linux"),
        ("ol8.9", "ol8", "oraclelinux"),
        ("opensuse-leap15.5", "opensuse15", "opensuse.leap"),
        ("opensuse-tumbleweed20260101", "opensuse", "opensuse.tumbleweed"),
        ("sles15.5", "sle15", "sles"),
        ("amzn2023", "amazonlinux", "linux"),
        ("Debian GNU/Linux 12 (bookworm)", "debian12", "debian"),
        ("Ubuntu 22.04.3 LTS", "ubuntu22.04", "ubuntu"),
        ("Red Hat Enterprise Linux 9.2 (Plow)", "rhel9", "rhel.9"),
        ("Red Hat Enterprise Linux Server release 7.9 (Maipo)", "rhel7", "rhel.7"),
        ("CentOS Linux 7 (Core)", "centos7", "centos.7"),
        ("CentOS Stream 9", "centos9", "centos.stream9"),
        ("Fedora release 39 (Thirty Nine)", "fedora39", "fedora"),
        ("SUSE Linux Enterprise Server 15 SP5", "sle15", "sles"),
        ("Windows Server 2019 Standard", "win2k19", "windows.2k19"),
        ("Windows Server 2008 R2 Enterprise", "win2k8r2", "windows.2k8"),
        ("Windows 10 Pro", "win10", "windows.10"),
        ("Microsoft Windows 11 Pro", "win11", "windows.11"),
    ],
)
def test_what_was_found_in_a_guest_stands_for_an_operating_system_too(found: str, os: str, preference: str):
    guest = guests.find_guest(found)
    assert (guest.os, guest.preference) == (os, preference)


@given(st.text(max_size=200))
def test_every_text_becomes_a_label(text: str):
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", names.to_label(text))
    assert names.to_label(names.to_label(text)) == names.to_label(text)


def test_a_taken_label_gets_a_number_and_stays_short():
    long = "a" * 63
    assert names.to_free_label("VM", {"vm", "vm-2"}) == "vm-3"
    assert names.to_free_label(long, {long}) == "a" * 61 + "-2"
    assert names.to_label("Bücher & Café (alt)") == "bucher-cafe-alt"


@pytest.mark.parametrize(
    ("amount", "unit", "size"),
    [
        ("20", "byte * 2^30", 20 << 30),
        ("20", "byte*2^30", 20 << 30),
        ("7", "GigaBytes", 7 << 30),
        ("512", "MB", 512 << 20),
        ("3", "byte * 1000", 3000),
        ("3", "byte * 10^3", 3000),
        ("3", "", 3),
        ("${size}", "byte", None),
        ("3", "furlongs", None),
        ("-3", "byte", None),
        ("٣", "byte", None),
        ("9" * 40, "byte", None),
        ("1", "byte * 999999999999^99", None),
    ],
)
def test_amounts_are_bytes_or_unknown(amount: str, unit: str, size: int | None):
    assert units.parse_bytes(amount, unit) == size


@pytest.mark.parametrize(
    ("text", "mac"),
    [("00:50:56:AA:bb:0C", "00:50:56:aa:bb:0c"), ("005056AABB0C", "00:50:56:aa:bb:0c"), ("00-50", ""), ("7", "")],
)
def test_mac_addresses_have_one_spelling(text: str, mac: str):
    assert ovfhardware.parse_mac(text) == mac


@given(st.integers(1, 1 << 62))
def test_quantities_are_exact(size: int):
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti)?", claims.quantity(size)).groups()
    assert int(number) << {None: 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}[unit] == size
