"""What the node has: read from /proc and the file system, shaped into a Node object by pure functions."""

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.engine.node.vm.machine import Host
from isthmus.machinery import conditions, quantity

Object = dict[str, Any]

MAX_PODS = 250
RESERVED_MEMORY = 256 << 20  # for ourselves and the kernel
KUBELET_VERSION = "v1.36.0"
LOW_MEMORY = 128 << 20
LOW_DISK_SHARE = 0.05
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts: CPUs, bytes, and what is left of the bytes."""

    cpus: int
    memory: int
    memory_available: int
    disk: int
    disk_available: int


def read_resources(directory: Path) -> Resources:
    """Of this machine, with the file system of `directory`."""
    memory = parse_meminfo(Path("/proc/meminfo").read_text())
    disk = os.statvfs(directory)
    return Resources(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        memory_available=memory["MemAvailable"],
        disk=disk.f_blocks * disk.f_frsize,
        disk_available=disk.f_bavail * disk.f_frsize,
    )


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo as bytes by name."""
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if rest.strip():
            values[name] = int(rest.split()[0]) * (1024 if rest.rstrip().endswith("kB") else 1)
    return values


def find_address() -> str:
    """The address that others reach this machine by: that of its default route, else loopback. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _os_image() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    return release.get("PRETTY_NAME", "Linux")


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def build_node_info(host: Host) -> Object:
    """`status.nodeInfo`."""
    return {
        "architecture": architecture(),
        "bootID": _first_line("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": "qemu://" + ".".join(map(str, host.version)),
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": KUBELET_VERSION,
        "machineID": _first_line("/etc/machine-id"),
        "operatingSystem": "linux",
        "osImage": _os_image(),
        "systemUUID": _first_line("/sys/class/dmi/id/product_uuid"),
    }


def architecture() -> str:
    """Kubernetes' word for this machine's."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def build_labels(name: str, host: Host) -> dict[str, str]:
    """The labels that the scheduler and KubeVirt's users select on."""
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture(),
        "kubevirt.io/schedulable": "true",
        "isthmus.dev/accelerator": host.accelerator,
    }


def build_status(name: str, address: str, host: Host, found: Resources, old: Object, now: str) -> Object:
    """`status` of the Node: capacity, conditions, addresses."""
    devices = {"devices.kubevirt.io/tun": "1k", "devices.kubevirt.io/vhost-net": "1k" if host.vhost_net else "0"}
    devices["devices.kubevirt.io/kvm"] = "1k" if host.accelerator == "kvm" else "0"
    capacity = {
        "cpu": str(found.cpus),
        "memory": quantity.from_bytes(found.memory),
        "ephemeral-storage": quantity.from_bytes(found.disk),
        "pods": str(MAX_PODS),
    } | devices
    usable = max(0, found.memory - RESERVED_MEMORY)
    return {
        "capacity": capacity,
        "allocatable": capacity | {"memory": quantity.from_bytes(usable)},
        "conditions": _conditions(found, old, now),
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "nodeInfo": build_node_info(host),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    }


def _conditions(found: Resources, old: Object, now: str) -> list[Object]:
    low_memory = found.memory_available < LOW_MEMORY
    low_disk = found.disk_available < found.disk * LOW_DISK_SHARE
    wanted = (
        _condition("MemoryPressure", low_memory, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
        _condition("DiskPressure", low_disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        _condition("PIDPressure", False, "", "KubeletHasSufficientPID"),
        _condition("Ready", True, "KubeletReady", ""),
    )
    out: list[Object] = list(old.get("conditions") or [])
    for condition in wanted:
        out = conditions.put(out, condition | {"lastHeartbeatTime": now}, now)
    return out


def _condition(kind: str, status: bool, when_true: str, when_false: str) -> Object:
    reason = when_true if status else when_false
    return conditions.build(kind, status, reason, "the node agent says so" if kind == "Ready" else reason)
