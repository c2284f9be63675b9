"""VMware's guest ids (and VirtualBox's OS types) -> what the operating system is called elsewhere.

A guest id is what an administrator once chose in a list: a hint. What a conversion found in the guest counts more: the
ID and VERSION_ID of its os-release (`rhel9.4`), or the product's name as virt-v2v tells it (`Windows Server 2022
Standard`). Names are those of KubeVirt's common preferences (`debian`, `rhel.9`) and of libosinfo (`debian12`).
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guest:
    """`os` is libosinfo's short id, `preference` is empty if common-instancetypes has none."""

    family: str
    os: str = ""
    preference: str = ""

    @property
    def windows(self) -> bool:
        """Whether it needs what Windows needs."""
        return self.family == "windows"


UNKNOWN = Guest("other")
LINUX = Guest("linux", "linux2022", "linux")

# In VMware's ids the version is the one the id was made for, with two traps: windows9Server is 2016, and "srvNext" the
# release after the one named.
_WINDOWS = {
    "winxp": Guest("windows", "winxp", "windows.xp"),
    "winnet": Guest("windows", "win2k3", "windows.2k3"),
    "winlonghorn": Guest("windows", "win2k8", "windows.2k8"),
    "windows7server": Guest("windows", "win2k8r2", "windows.2k8"),
    "windows7": Guest("windows", "win7", "windows.7"),
    "windows8server": Guest("windows", "win2k12r2", "windows.2k12"),
    "windows8": Guest("windows", "win8"),
    "windows9server": Guest("windows", "win2k16", "windows.2k16"),
    "windows2019srvnext": Guest("windows", "win2k22", "windows.2k22"),
    "windows2019srv": Guest("windows", "win2k19", "windows.2k19"),
    "windows2022srvnext": Guest("windows", "win2k25", "windows.2k25"),
    "windows11": Guest("windows", "win11", "windows.11"),
    "windows12": Guest("windows", "win11", "windows.11"),
    "windows9": Guest("windows", "win10", "windows.10"),
    # VirtualBox, and what products are called
    "windows2025": Guest("windows", "win2k25", "windows.2k25"),
    "windows2022": Guest("windows", "win2k22", "windows.2k22"),
    "windows2019": Guest("windows", "win2k19", "windows.2k19"),
    "windows2016": Guest("windows", "win2k16", "windows.2k16"),
    "windows2012": Guest("windows", "win2k12r2", "windows.2k12"),
    "windows2008": Guest("windows", "win2k8r2", "windows.2k8"),
    "windows10": Guest("windows", "win10", "windows.10"),
}

# prefix of the id -> (libosinfo's name, which versions have a preference of their own and how it is called)
_LINUX: dict[str, tuple[str, dict[str, str], str]] = {
    "rhel": ("rhel", {v: f"rhel.{v}" for v in ("7", "8", "9", "10")}, "linux"),
    "redhat": ("rhel", {v: f"rhel.{v}" for v in ("7", "8", "9", "10")}, "linux"),
    "centos": ("centos", {str(v): f"centos.stream{v}" for v in (8, 9, 10)} | {"7": "centos.7"}, "linux"),
    "oraclelinux": ("ol", {}, "oraclelinux"),
    "oracle": ("ol", {}, "oraclelinux"),
    "ol": ("ol", {}, "oraclelinux"),
    "rockylinux": ("rocky", {}, "linux"),
    "rocky": ("rocky", {}, "linux"),
    "almalinux": ("almalinux", {}, "linux"),
    "amazonlinux": ("amazonlinux", {}, "linux"),
    "amzn": ("amazonlinux", {}, "linux"),
    "alpine": ("alpinelinux", {}, "alpine"),
    "debian": ("debian", {}, "debian"),
    "ubuntu": ("ubuntu", {}, "ubuntu"),
    "fedora": ("fedora", {}, "fedora"),
    "sles": ("sle", {"15": "sles"}, "sles"),
    "opensuse": ("opensuse", {}, "opensuse.leap"),
    "opensuse-tumbleweed": ("opensuse", {}, "opensuse.tumbleweed"),
    "photon": ("photon", {}, "linux"),
    "vmwarephoton": ("photon", {}, "linux"),
    "coreos": ("coreos", {}, "linux"),
}
_LINUX_HINTS = (
    "linux",
    "other24x",
    "other26x",
    "other3x",
    "other4x",
    "other5x",
    "other6x",
    "asianux",
    "mandr",
    "turbo",
)


def find_guest(guest_id: str, description: str = "") -> Guest:
    """The guest that an id such as `debian10_64Guest`, or else a description such as `Debian_64`, stands for."""
    for text in (guest_id, description):
        if guest := _find(_plain(text)):
            return guest
    return UNKNOWN


# What products are called, made like the ids.
_PRODUCTS = (
    (r"^microsoft", ""),
    (r"^windowsserver(r|\(r\)|®)?", "windows"),
    (r"^windowsvista", "winlonghorn"),
    (r"^windowsxp", "winxp"),
    (r"^redhatenterpriselinux(server|workstation|as|es)?", "rhel"),
    (r"^centos(linux|stream)", "centos"),
    (r"^oraclelinux(server)?", "oraclelinux"),
    (r"^suselinuxenterpriseserver", "sles"),
    (r"^opensusetumbleweed", "opensuse-tumbleweed"),
    (r"^debiangnu/linux", "debian"),
    (r"^fedoralinux", "fedora"),
    (r"^alpinelinuxv?", "alpine"),
    (r"release(?=\d)", ""),
)


def _plain(text: str) -> str:
    """In lower case, without blanks; a product's name as an id."""
    plain = "".join(text.lower().split())
    for pattern, replacement in _PRODUCTS:
        plain = re.sub(pattern, replacement, plain)
    return plain


def _find(text: str) -> Guest | None:
    if text.startswith("win"):
        bare = text.removesuffix("guest").removesuffix("_64").removesuffix("64").rstrip("_")
        found = [key for key in _WINDOWS if bare.startswith(key)]
        return _WINDOWS[max(found, key=len)] if found else Guest("windows")
    for prefix in sorted(_LINUX, key=len, reverse=True):
        if text.startswith(prefix):
            return _linux(prefix, text.removeprefix(prefix))
    if any(hint in text for hint in _LINUX_HINTS):
        return LINUX
    if text.startswith(("freebsd", "openbsd", "netbsd")):
        return Guest("bsd", text.split("bsd")[0] + "bsd")
    if text.startswith(("darwin", "solaris", "netware", "dos", "os2", "other")):
        return UNKNOWN
    return None


def _linux(prefix: str, rest: str) -> Guest:
    name, versions, default = _LINUX[prefix]
    match = re.match(r"^(?:-[a-z]+)?-?(\d{1,2})(\.\d\d)?(?!\d)", rest)
    version = match[1] if match and not rest.startswith("64") else ""
    minor = match[2] if version and match and name == "ubuntu" else ""  # its releases are called 22.04
    return Guest("linux", name + version + (minor or ""), versions.get(version, default))
