"""What this machine has and lacks for an embedded home, with what to do about it. Called by up and status."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from isthmus.engine.node.vm import kvm
from isthmus.lib.home import Home


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


def find(home: Home, port: int, *, running: bool) -> Iterator[Finding]:
    """Look at everything. `running` says that the port is ours already."""
    yield _qemu()
    yield from _tools()
    yield find_acceleration(home)
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


def find_acceleration(home: Home) -> Finding:
    """Whether guests run on KVM, by what the agent has found out if it already has."""
    verdict = kvm.read_verdict(home.run)
    if not os.access(kvm.DEVICE, os.R_OK | os.W_OK):
        there = kvm.DEVICE.exists()
        why = "/dev/kvm may not be opened by this user" if there else "no /dev/kvm"
        nested = "enable virtualisation in the firmware or the outer hypervisor"
        remedy = "add the user to the group kvm" if there else nested
    elif verdict is None or verdict.works:
        return Finding(Level.OK, verdict.reason if verdict else "/dev/kvm can be opened")
    else:
        why = "KVM runs no guests here"
        remedy = f"see whether the outer hypervisor nests virtualisation ({verdict.reason})"
    return Finding(Level.WARNING, f"{why}: VMs run by software emulation (TCG), about ten times slower", remedy)


def is_acceleration_known(home: Home) -> bool:
    """Whether `find_acceleration` says all that there is to say."""
    return not os.access(kvm.DEVICE, os.R_OK | os.W_OK) or kvm.read_verdict(home.run) is not None


def wait_acceleration(home: Home) -> Finding:
    """After the first start: what the agent, which tries a guest on KVM, finds out."""
    deadline = time.monotonic() + kvm.DEADLINE + 2
    while not is_acceleration_known(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    return find_acceleration(home)


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
