"""A VMI, its volumes and its network cards as a machine, with KubeVirt's defaults. Pure; raises SpecError.

The agent calls `build_machine` once the volumes are files (`disk.volumes`) and the cards have taps (`net.network`);
`argv` turns the result into QEMU's command line.
"""

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.engine.node.net.model import Nic
from isthmus.engine.node.vm.disks import build_disks
from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vm.interfaces import build_interfaces
from isthmus.engine.node.vm.machine import Cpu, Firmware, Host, Image, KernelBoot, Machine, Topology
from isthmus.machinery import quantity

Object = dict[str, Any]

HYPERV = {
    "relaxed": "hv-relaxed",
    "vapic": "hv-vapic",
    "vpindex": "hv-vpindex",
    "runtime": "hv-runtime",
    "synic": "hv-synic",
    "reset": "hv-reset",
    "frequencies": "hv-frequencies",
    "reenlightenment": "hv-reenlightenment",
    "tlbflush": "hv-tlbflush",
    "ipi": "hv-ipi",
    "evmcs": "hv-evmcs",
    "synictimer": "hv-stimer",
}
CHASSIS = {"manufacturer": "manufacturer", "version": "version", "serial": "serial", "asset": "asset", "sku": "sku"}
SCREENS = {
    "": "vga",
    "vga": "vga",
    "virtio": "virtio",
    "bochs": "bochs",
    "qxl": "qxl",
    "ramfb": "bochs",
    "cirrus": "cirrus",
}
TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
HOTPLUG_PORTS = 4
QEMU_OVERHEAD = 768 << 20  # devices, threads, and TCG's translation cache
MINIMUM_MEMORY = 1 << 20
_IDENTITY = uuid.UUID("d1ab6b46-7c1b-4e0d-9a51-3f4e7f3b1d52")


def firmware_uuid(vmi: Object) -> str:
    """The machine's identity: the spec's, or one that follows from namespace and name and so survives restarts."""
    firmware = vmi["spec"]["domain"].get("firmware") or {}
    if given := firmware.get("uuid"):
        try:
            return str(uuid.UUID(given))
        except ValueError as error:
            raise SpecError("spec.domain.firmware.uuid", f"{given!r} is no UUID") from error
    metadata = vmi["metadata"]
    return str(uuid.uuid5(_IDENTITY, f"{metadata['namespace']}/{metadata['name']}"))


def build_machine(
    vmi: Object,
    images: Mapping[str, Image | None],
    nics: Mapping[str, Nic],
    host: Host,
    directory: Path,
    kernel_boot: KernelBoot | None = None,
    state: Path | None = None,
) -> Machine:
    """The machine that a VMI asks for. UEFI variables lie in `directory`, the machine's own, or (`efi.persistent`) in
    `state`, which its VM keeps from one instance to the next."""
    spec = vmi["spec"]
    domain = spec["domain"]
    devices = domain.get("devices") or {}
    _refuse_unsupported(devices)
    iothreads = _iothreads(domain)
    interfaces = build_interfaces(vmi, nics)
    machine_type, notes = _machine_type(domain, host)
    base, timezone = _clock(domain)
    return Machine(
        name=f"{vmi['metadata']['namespace']}_{vmi['metadata']['name']}",
        machine_type=machine_type,
        topology=build_topology(domain),
        cpu=_cpu(domain),
        memory=find_memory(domain),
        memory_limit=find_memory_limit(domain),
        firmware=_firmware(vmi, host, directory, state or directory),
        disks=build_disks(spec, images, iothreads),
        interfaces=interfaces,
        kernel_boot=kernel_boot,
        hugepage_size=_hugepages(domain),
        serial_console=devices.get("autoattachSerialConsole") is not False,
        graphics=_graphics(devices),
        balloon=devices.get("autoattachMemBalloon") is not False,
        rng="rng" in devices,
        watchdog=_watchdog(devices),
        panic_device=bool(devices.get("panicDevices")),
        sound=str(devices["sound"].get("model") or "ich9") if devices.get("sound") else "",
        ends_at_reboot=domain.get("rebootPolicy") == "Terminate",
        inputs=_inputs(devices),
        iothreads=iothreads,
        tpm=_tpm(devices.get("tpm"), host),
        hotplug_ports=0 if devices.get("disableHotplug") else HOTPLUG_PORTS,
        clock_base=base,
        timezone=timezone,
        hpet=bool(((domain.get("clock") or {}).get("timer") or {}).get("hpet", {}).get("present")),
        start_paused=spec.get("startStrategy") == "Paused",
        notes=tuple(notes),
    )


def _refuse_unsupported(devices: Object) -> None:
    for field in ("gpus", "hostDevices", "filesystems"):
        if devices.get(field):
            raise SpecError(f"spec.domain.devices.{field}", "is not supported on this node")


def build_topology(domain: Object) -> Topology:
    """Sockets, cores and threads; without any, one socket for each CPU of the resources."""
    cpu = domain.get("cpu") or {}
    resources = domain.get("resources") or {}
    given = {key: int(cpu[key]) for key in ("sockets", "cores", "threads") if cpu.get(key)}
    if not given:
        amount = (resources.get("limits") or {}).get("cpu") or (resources.get("requests") or {}).get("cpu")
        given = {"sockets": max(1, quantity.whole(amount))} if amount else {}
    return Topology(**given, max_sockets=int(cpu.get("maxSockets") or 0))


def find_memory(domain: Object) -> int:
    """Guest memory in bytes: memory.guest, else requests, else limits, else the size of one huge page."""
    memory = domain.get("memory") or {}
    resources = domain.get("resources") or {}
    candidates = (
        memory.get("guest"),
        (resources.get("requests") or {}).get("memory"),
        (resources.get("limits") or {}).get("memory"),
        (memory.get("hugepages") or {}).get("pageSize"),
    )
    amount = next((value for value in candidates if value), None)
    if amount is None:
        raise SpecError("spec.domain.memory.guest", "no memory is given, nor in spec.domain.resources")
    try:
        size = quantity.whole(amount)
    except ValueError as error:
        raise SpecError("spec.domain.memory.guest", str(error)) from error
    if size < MINIMUM_MEMORY:
        raise SpecError("spec.domain.memory.guest", f"{amount} is less than 1Mi")
    return -(-size // MINIMUM_MEMORY) * MINIMUM_MEMORY


def find_memory_limit(domain: Object) -> int:
    """The limit that the VMI asks for, and on top of it what QEMU itself needs; 0 if it asks for none."""
    limit = ((domain.get("resources") or {}).get("limits") or {}).get("memory")
    return quantity.whole(limit) + QEMU_OVERHEAD if limit else 0


def _hugepages(domain: Object) -> int:
    size = ((domain.get("memory") or {}).get("hugepages") or {}).get("pageSize")
    return quantity.whole(size) if size else 0


def _machine_type(domain: Object, host: Host) -> tuple[str, list[str]]:
    wanted = str((domain.get("machine") or {}).get("type") or "q35")
    if not wanted.startswith(("q35", "pc-q35")):
        raise SpecError("spec.domain.machine.type", f"{wanted!r} is not supported; expected q35 or pc-q35-*")
    if wanted == "q35" or not host.machine_types or wanted in host.machine_types:
        return wanted, []
    # Types such as pc-q35-rhel9.4.0 exist in one distribution only; the guest sees the same board.
    return "q35", [f"machine type {wanted} is unknown to this QEMU; {host.resolve_machine('q35')} is used"]


def _cpu(domain: Object) -> Cpu:
    cpu = domain.get("cpu") or {}
    features = domain.get("features") or {}
    wanted = tuple(
        (feature["name"], feature.get("policy", "require") in ("require", "force", "optional"))
        for feature in cpu.get("features") or []
    )
    hyperv = tuple(
        option
        for name, option in HYPERV.items()
        if isinstance(entry := (features.get("hyperv") or {}).get(name), dict) and entry.get("enabled", True)
    )
    if (retries := (features.get("hyperv") or {}).get("spinlocks")) and retries.get("enabled", True):
        hyperv += (f"hv-spinlocks={int(retries.get('spinlocks') or 4096):#x}",)
    hidden = bool((features.get("kvm") or {}).get("hidden"))
    return Cpu(str(cpu.get("model") or "host-model"), wanted, hyperv, hidden)


def _firmware(vmi: Object, host: Host, directory: Path, state: Path) -> Firmware:
    domain = vmi["spec"]["domain"]
    firmware = domain.get("firmware") or {}
    features = domain.get("features") or {}
    bootloader = firmware.get("bootloader") or {}
    efi = bootloader.get("efi")
    secure = efi is not None and efi.get("secureBoot") is not False
    if efi is not None and not host.find_firmware(secure=secure):
        kind = "UEFI firmware with Secure Boot" if secure else "UEFI firmware"
        raise SpecError("spec.domain.firmware.bootloader.efi", f"no {kind} on this node; install the package ovmf")
    chassis = domain.get("chassis") or {}
    return Firmware(
        uuid=firmware_uuid(vmi),
        serial=str(firmware.get("serial") or ""),
        efi=efi is not None,
        secure_boot=secure,
        vars_file=(state if efi.get("persistent") else directory) / "efi-vars.fd" if efi is not None else None,
        acpi=(features.get("acpi") or {}).get("enabled") is not False,
        smm=(features.get("smm") or {}).get("enabled", "smm" in features) is True,
        chassis=tuple((key, str(chassis[field])) for field, key in CHASSIS.items() if chassis.get(field)),
    )


def _iothreads(domain: Object) -> int:
    disks = (domain.get("devices") or {}).get("disks") or []
    policy = domain.get("ioThreadsPolicy")
    if policy == "auto":
        return min(4, len(disks)) or 1
    if policy == "supplementalPool":
        return int((domain.get("ioThreads") or {}).get("supplementalPoolThreadCount") or 1)
    return 1 if policy == "shared" or any(disk.get("dedicatedIOThread") for disk in disks) else 0


def _graphics(devices: Object) -> str:
    if devices.get("autoattachGraphicsDevice") is False:
        return "none"
    wanted = str((devices.get("video") or {}).get("type") or "")
    if wanted not in SCREENS:
        raise SpecError("spec.domain.devices.video.type", f"{wanted!r}; expected {', '.join(filter(None, SCREENS))}")
    return SCREENS[wanted]


def _watchdog(devices: Object) -> str:
    watchdog = devices.get("watchdog")
    if not watchdog:
        return ""
    return str((watchdog.get("i6300esb") or {}).get("action") or "reset")


def _tpm(tpm: Object | None, host: Host) -> str:
    """KubeVirt's models: Windows and old guests know tpm-tis; tpm-crb came with persistence."""
    if tpm is None or tpm.get("enabled") is False:
        return ""
    if not host.swtpm:
        raise SpecError("spec.domain.devices.tpm", "no TPM emulator on this node; install the package swtpm")
    return "tpm-crb" if tpm.get("persistent") else "tpm-tis"


def _inputs(devices: Object) -> tuple[tuple[str, str], ...]:
    inputs = list(devices.get("inputs") or [])
    if not inputs and devices.get("autoattachInputDevice"):
        inputs.append({"type": "tablet", "bus": "usb"})
    return tuple((str(entry.get("type") or "tablet"), str(entry.get("bus") or "usb")) for entry in inputs)


def _clock(domain: Object) -> tuple[str, str]:
    clock = domain.get("clock") or {}
    if offset := int((clock.get("utc") or {}).get("offsetSeconds") or 0):
        hours, rest = divmod(abs(offset), 3600)
        # POSIX counts west of Greenwich as positive.
        return "localtime", f"<UTC>{'-' if offset > 0 else '+'}{hours}:{rest // 60:02}:{rest % 60:02}"
    timezone = str(clock.get("timezone") or "")
    if timezone and not TIMEZONE.fullmatch(timezone):
        raise SpecError("spec.domain.clock.timezone", f"{timezone!r} is no name of a time zone")
    return ("localtime" if timezone else "utc"), timezone
