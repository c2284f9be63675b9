"""The status of a VMI from what its machine and its guest say. Pure: the agent fills `Facts` and patches the result.

Only what a node agent owns is set; conditions of others (Synchronized, DataVolumesReady, PodScheduled ...) are kept.
Field names and wording: KubeVirt v1.9, VirtualMachineInstanceStatus.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.machinery import conditions, quantity

Object = dict[str, Any]

FINAL = ("Succeeded", "Failed")
PAUSED_REASONS = {
    "paused": ("PausedByUser", "VMI was paused by user"),
    "prelaunch": ("PausedByUser", "VMI was paused by user"),
    "io-error": ("PausedIOError", "VMI was paused, low-level IO error detected"),
}
EMULATION = "There is no working KVM on this node: the machine is emulated (TCG)"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a status tells of a volume's claim."""

    name: str
    access_modes: Sequence[str] = ()
    volume_mode: str = "Filesystem"
    capacity: str = ""
    requested: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of a machine. `record` is its machine.json."""

    node: str
    phase: str
    record: Object
    accelerator: str
    state: str = "running"
    agent_connected: bool = False
    agent_version: str = ""
    os_info: Mapping[str, str] = field(default_factory=dict)
    guest_interfaces: Sequence[Mapping[str, Any]] = ()
    frozen: bool = False
    memory: int = 0
    vcpus: int = 0
    claims: Mapping[str, Claim] = field(default_factory=dict)  # by volume name
    credentials: str | None = None  # what is wrong with those that the agent brings; None: there are none, or not yet


def build_status(vmi: Object, facts: Facts, now: str) -> Object:
    """The fields of `status` that are to be written: a merge patch, lists whole."""
    old = vmi.get("status") or {}
    status: Object = {
        "nodeName": facts.node,
        "phase": facts.phase,
        "phaseTransitionTimestamps": advance(old, facts.phase, now),
        "conditions": _conditions(vmi, facts, now),
        "interfaces": build_interfaces(facts),
        "volumeStatus": build_volumes(vmi, facts),
        "guestOSInfo": dict(facts.os_info),
        "machine": {"type": facts.record.get("machineType", "")},
        "currentCPUTopology": _topology(facts),
        "memory": _memory(vmi, facts),
        "launcherContainerImageVersion": "isthmus.dev/launcher",
        "selinuxContext": "none",
        "fsFreezeStatus": "frozen" if facts.frozen else None,
        "migrationMethod": "BlockMigration" if facts.claims else "LiveMigration",
    }
    return status


def build_final(vmi: Object, phase: str, reason: str, message: str, now: str) -> Object:
    """The last status: what the machine was stays told, what it did no longer is."""
    old = vmi.get("status") or {}
    ready = conditions.build("Ready", False, "GuestNotRunning", message)
    found = put(old.get("conditions") or [], ready, now)
    return {
        "phase": phase,
        "reason": reason,
        "phaseTransitionTimestamps": advance(old, phase, now),
        "conditions": conditions.drop(found, "Paused", "AgentConnected", "LiveMigratable"),
        "fsFreezeStatus": None,
    }


def advance(old: Object, phase: str, now: str) -> list[Object]:
    """`phaseTransitionTimestamps`, with the new phase if it is one."""
    stamps = list(old.get("phaseTransitionTimestamps") or [])
    if old.get("phase") != phase:
        stamps.append({"phase": phase, "phaseTransitionTimestamp": now})
    return stamps


def _conditions(vmi: Object, facts: Facts, now: str) -> list[Object]:
    found: list[Object] = list((vmi.get("status") or {}).get("conditions") or [])
    wanted = [_live_migratable(facts)]  # Ready is the pod's, which the VMI controller carries over
    absent = []
    if facts.accelerator == "tcg":
        wanted.append(conditions.build("SoftwareEmulation", True, "KVMNotAvailable", EMULATION))
    else:
        absent.append("SoftwareEmulation")
    if facts.state in PAUSED_REASONS:
        wanted.append(conditions.build("Paused", True, *PAUSED_REASONS[facts.state]))
    else:
        absent.append("Paused")
    if facts.agent_connected:
        wanted.append(conditions.build("AgentConnected", True))
    else:
        absent.append("AgentConnected")
    if facts.credentials is not None:
        wanted.append(conditions.build("AccessCredentialsSynchronized", not facts.credentials, "", facts.credentials))
    for condition in wanted:
        found = put(found, condition, now)
    return conditions.drop(found, *absent)


def put(found: list[Object], wanted: Object, now: str) -> list[Object]:
    """`conditions.put`, but a condition that says the same already is left as its writer left it: several controllers
    write these lists, and must not answer each other for ever over a field that means nothing."""
    old = conditions.find(found, wanted["type"]) or {}
    if all(old.get(key, "") == wanted.get(key, "") for key in ("status", "reason", "message")):
        return found
    return conditions.put(found, wanted, now)


def _live_migratable(facts: Facts) -> Object:
    local = [claim.name for claim in facts.claims.values() if "ReadWriteMany" not in claim.access_modes]
    if local:
        text = (
            f"cannot migrate VMI: PVC {local[0]} is not shared, live migration requires that all PVCs must be shared"
            " (using ReadWriteMany access mode)"
        )
        return conditions.build("LiveMigratable", False, "DisksNotLiveMigratable", text)
    return conditions.build("LiveMigratable", False, "NodeNotLiveMigratable", "this node does not migrate machines")


def build_interfaces(facts: Facts) -> list[Object]:
    """One entry for each card, in the order of the spec, with what the guest says of the same MAC."""
    by_mac = {str(entry["mac"]): entry for entry in facts.guest_interfaces if entry.get("mac")}
    out = []
    for number, nic in enumerate(facts.record.get("nics") or ()):
        guest = by_mac.get(nic["mac"])
        given = [address.split("/")[0] for address in nic.get("addresses") or ()]
        # Behind a masquerade the guest's own address means nothing to others: the pod's is told, as in KubeVirt.
        reached = [nic["pod_ip"]] if nic.get("pod_ip") else list((guest or {}).get("addresses") or ()) or given
        entry: Object = {"name": nic["name"], "mac": nic["mac"], "queueCount": 1, "linkState": "up"}
        if reached:
            entry |= {"ipAddress": reached[0], "ipAddresses": reached}
        entry["infoSource"] = "domain, guest-agent" if guest else "domain"
        entry["podInterfaceName"] = nic.get("interface") or f"eth{number}"
        if guest:
            entry["interfaceName"] = guest["name"]
        out.append(entry)
    return out


def _targets(disks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    counts = {"vd": 0, "sd": 0}
    targets = {}
    for disk in disks:
        prefix = "vd" if disk["bus"] == "virtio" else "sd"
        targets[disk["name"]] = prefix + letters(counts[prefix])
        counts[prefix] += 1
    return targets


def letters(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa: as disks are lettered."""
    text = ""
    while number >= 0:
        number, rest = divmod(number, 26)
        text = string.ascii_lowercase[rest] + text
        number -= 1
    return text


def build_volumes(vmi: Object, facts: Facts) -> list[Object]:
    """One entry for each volume, with the name that libvirt would give its device."""
    targets = _targets(facts.record.get("disks") or ())
    out = []
    for volume in vmi["spec"].get("volumes") or ():
        name = volume["name"]
        entry: Object = {"name": name, "target": targets.get(name, "")}
        if claim := facts.claims.get(name):
            entry["persistentVolumeClaimInfo"] = {
                "claimName": claim.name,
                "accessModes": list(claim.access_modes),
                "volumeMode": claim.volume_mode,
                "capacity": {"storage": claim.capacity},
                "requests": {"storage": claim.requested},
                "filesystemOverhead": "0",
            }
        if "containerDisk" in volume:
            entry["containerDiskVolume"] = {}
        out.append(entry)
    return out


def _topology(facts: Facts) -> Object:
    topology = facts.record.get("topology") or {}
    shape = {key: int(topology.get(key) or 1) for key in ("sockets", "cores", "threads")}
    if facts.vcpus:
        shape["sockets"] = max(1, facts.vcpus // (shape["cores"] * shape["threads"]))
    return shape


def _memory(vmi: Object, facts: Facts) -> Object:
    size = int(facts.record.get("memory") or 0)
    at_boot = quantity.from_bytes(size)
    memory = vmi["spec"]["domain"].get("memory") or {}
    return {
        "guestAtBoot": at_boot,
        "guestCurrent": quantity.from_bytes(facts.memory) if facts.memory else at_boot,
        "guestRequested": str(memory.get("guest") or at_boot),
    }


def changed(old: Object, new: Object) -> Object:
    """The part of `new` that differs from `old`: what a merge patch has to carry. None stands for absent."""
    return {key: value for key, value in new.items() if old.get(key) != value}
