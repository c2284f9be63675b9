"""What this machine has and lacks for an embedded home, with what to do about it. Called by up and status."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    """How bad a finding is: `ERROR` stops `up`, `WARNING` names what will not work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    level: Level
    what: str
    remedy: str = ""


QEMU = "qemu-system-x86_64"
TOOLS = (  # (command, what needs it, Debian package)
    ("qemu-img", "disks of VMs", "qemu-utils"),
    ("ip", "networks of VMs", "iproute2"),
    ("nft", "networks of VMs", "nftables"),
    ("skopeo", "images from registries and archives", "skopeo"),
)


def find(port: int, *, running: bool) -> Iterator[Finding]:
    """Look at everything. `running` says that the port is ours already."""
    yield _qemu()
    yield from _tools()
    yield _kvm()
    yield _root()
    if not running:
        yield _port(port)


def _qemu() -> Finding:
    if shutil.which(QEMU):
        return Finding(Level.OK, f"{QEMU} is there")
    return Finding(Level.ERROR, f"{QEMU} is not installed: no VM can run", "apt-get install qemu-system-x86 qemu-utils")


def _tools() -> Iterator[Finding]:
    for command, need, package in TOOLS:
        if not shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            yield Finding(Level.WARNING, f"{command} is not installed: needed for {need}", f"apt-get install {package}")


def _kvm() -> Finding:
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Finding(Level.OK, "/dev/kvm can be opened; the agent finds out whether guests run on it")
    there = Path("/dev/kvm").exists()
    why = "/dev/kvm may not be opened by this user" if there else "no /dev/kvm"
    remedy = (
        "add the user to the group kvm" if there else "enable virtualisation in the firmware or the outer hypervisor"
    )
    return Finding(Level.WARNING, f"{why}: VMs run by software emulation (TCG), about ten times slower", remedy)


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding(Level.OK, "running as root")
    lost = "no bridges, no addresses of VMs on the host's networks, no cgroup limits (VMs get user-mode networking)"
    return Finding(Level.WARNING, f"not root: {lost}", "run `sudo isthmus up` for all of it")


def _port(port: int) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            remedy = f"choose another with --port, or see who has it: ss -ltnp 'sport = :{port}'"
            return Finding(Level.ERROR, f"port {port} cannot be used ({error.strerror})", remedy)
    return Finding(Level.OK, f"port {port} is free")
