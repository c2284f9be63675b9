"""QEMU's command line from a machine and a host. Pure: golden files in tests/golden/argv pin what it gives.

Whatever holds text from a manifest (serial numbers, file names, tags) goes as JSON, where nothing needs quoting; the
few options without a JSON form have their commas doubled. Sockets are named relative to the machine's own directory,
QEMU's working directory, because a Unix socket's path may have no more than 107 bytes.
"""

import json
from collections.abc import Iterator
from typing import Any

from isthmus.engine.node.vm import blockdev, pci
from isthmus.engine.node.vm.machine import Cpu, Host, Interface, Machine, Sockets

TRANSLATION_MIB = 256  # TCG's translation cache: QEMU's own default takes up to 1 GiB beside the guest's memory
SATA_PORTS = 6  # of q35's own controller
NIC_DRIVERS = {
    "virtio": "virtio-net-pci",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "ne2k_pci": "ne2k_pci",
    "pcnet": "pcnet",
    "rtl8139": "rtl8139",
    "vmxnet3": "vmxnet3",
    "igb": "igb",
}
SCREENS = {"vga": "VGA", "virtio": "virtio-vga", "bochs": "bochs-display", "qxl": "qxl-vga", "cirrus": "cirrus-vga"}
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
GUEST_AGENT_CHANNEL = "org.qemu.guest_agent.0"


def _escape(text: str) -> str:
    return text.replace(",", ",,")


def _json(options: dict[str, Any]) -> str:
    return json.dumps(options, separators=(",", ":"))


def build_argv(machine: Machine, host: Host, sockets: Sockets) -> list[str]:
    """The whole command line, QEMU's path first. Raises pci.PciError if the devices do not fit."""
    parts = (
        _process(machine, host, sockets),
        _board(machine, host),
        _cpu_and_memory(machine, host),
        _identity(machine),
        _firmware(machine, host),
        _disks(machine),
        _interfaces(machine, host),
        _channels(machine, sockets),
        _devices(machine, sockets),
    )
    return [host.qemu, *(argument for part in parts for argument in part)]


def _device(**options: Any) -> tuple[str, str]:
    return "-device", _json({key.replace("_", "-"): value for key, value in options.items()})


def _process(machine: Machine, host: Host, sockets: Sockets) -> Iterator[str]:
    yield from ("-name", f"guest={_escape(machine.name)},debug-threads=on")
    yield from ("-nodefaults", "-no-user-config", "-msg", "timestamp=on")
    if host.sandbox:
        yield from ("-sandbox", SANDBOX)
    yield from ("-pidfile", str(sockets.pidfile))
    yield from ("-chardev", f"socket,id=monitor,path={sockets.qmp.name},server=on,wait=off")
    yield from ("-mon", "chardev=monitor,mode=control")
    # A guest's shutdown or panic stops the machine and leaves the process: how it ended can be asked at any later time.
    reboot = "shutdown" if machine.ends_at_reboot else "reset"
    actions = f"reboot={reboot},shutdown=pause,panic=pause,watchdog={machine.watchdog or 'reset'}"
    yield from ("-action", actions)
    if machine.start_paused:
        yield "-S"


def _board(machine: Machine, host: Host) -> Iterator[str]:
    options = [
        host.resolve_machine(machine.machine_type),
        "usb=off",
        "vmport=off",
        "dump-guest-core=off",
        f"hpet={'on' if machine.hpet else 'off'}",
        "memory-backend=ram0",
    ]
    if machine.firmware.smm or machine.firmware.secure_boot:
        options.append("smm=on")
    if not machine.firmware.acpi:
        options.append("acpi=off")
    if machine.firmware.efi:
        options += ["pflash0=efi-code", "pflash1=efi-vars"]
    yield from ("-machine", ",".join(options))
    yield from ("-accel", "kvm" if host.accelerator == "kvm" else f"tcg,thread=multi,tb-size={TRANSLATION_MIB}")
    if any(nic.acpi_slot for nic in machine.interfaces) and host.version >= (6, 1):
        # Slot numbers of root ports reach the guest through native hotplug only; QEMU's ACPI hotplug hides them.
        yield from ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
    base = machine.clock_base
    yield from ("-rtc", f"base={base}" + (",driftfix=slew" if host.accelerator == "kvm" else ""))
    yield from ("-boot", "strict=on")


def cpu_option(cpu: Cpu, host: Host) -> str:
    """The `-cpu` option. Without KVM the models of a real host mean nothing: `max` is every feature TCG can do.

    Five-level paging is left out under TCG: each page walk would cost one more emulated load.
    """
    kvm = host.accelerator == "kvm"
    if cpu.model in ("", "host-model", "host-passthrough"):
        options = ["host,migratable=off" if cpu.model == "host-passthrough" else "host"] if kvm else ["max,la57=off"]
    else:
        options = [cpu.model]
    options += [f"{name}={'on' if wanted else 'off'}" for name, wanted in cpu.features]
    if kvm:
        options += [f"{feature}=on" if "=" not in feature else feature for feature in cpu.hyperv]
        options += ["kvm=off"] if cpu.hide_kvm else []
    return ",".join(options)


def _cpu_and_memory(machine: Machine, host: Host) -> Iterator[str]:
    topology = machine.topology
    yield from ("-cpu", cpu_option(machine.cpu, host))
    sockets = max(topology.sockets, topology.max_sockets)
    layout = f"sockets={sockets},cores={topology.cores},threads={topology.threads}"
    yield from ("-smp", f"{topology.vcpus},{layout},maxcpus={topology.max_vcpus}")
    yield from ("-m", f"size={machine.memory // 1024}k")
    memory: dict[str, Any] = {"qom-type": "memory-backend-ram", "id": "ram0", "size": machine.memory}
    if machine.hugepage_size or machine.shared_memory:
        memory |= {"qom-type": "memory-backend-memfd", "share": machine.shared_memory}
    if machine.hugepage_size:
        memory |= {"hugetlb": True, "hugetlbsize": machine.hugepage_size, "prealloc": True}
    yield from ("-object", _json(memory))
    for number in range(machine.iothreads):
        yield from ("-object", _json({"qom-type": "iothread", "id": f"iothread{number + 1}"}))


def _identity(machine: Machine) -> Iterator[str]:
    firmware = machine.firmware
    yield from ("-uuid", firmware.uuid)
    system = {"manufacturer": "KubeVirt", "product": "None", "family": "KubeVirt", "uuid": firmware.uuid}
    if firmware.serial:
        system["serial"] = firmware.serial
    yield from ("-smbios", "type=1," + ",".join(f"{key}={_escape(value)}" for key, value in system.items()))
    if firmware.chassis:
        yield from ("-smbios", "type=3," + ",".join(f"{key}={_escape(value)}" for key, value in firmware.chassis))


def _firmware(machine: Machine, host: Host) -> Iterator[str]:
    if machine.kernel_boot:
        boot = machine.kernel_boot
        yield from ("-kernel", str(boot.kernel))
        if boot.initrd:
            yield from ("-initrd", str(boot.initrd))
        if boot.args:
            yield from ("-append", boot.args)
    if not machine.firmware.efi:
        return
    found = host.find_firmware(secure=machine.firmware.secure_boot)
    assert found and machine.firmware.vars_file  # spec.build_machine has refused the machine otherwise
    files = {"efi-code": (found[0], True), "efi-vars": (machine.firmware.vars_file, False)}
    for name, (path, read_only) in files.items():
        storage = {"driver": "file", "filename": str(path)}
        yield from ("-blockdev", _json({"driver": "raw", "node-name": name, "read-only": read_only, "file": storage}))
    if machine.firmware.secure_boot:
        yield from ("-global", "driver=cfi.pflash01,property=secure,value=on")
        yield from ("-global", "ICH9-LPC.disable_s3=1")


def _root_port(place: pci.Place) -> tuple[str, str]:
    options: dict[str, Any] = {"bus": "pcie.0", "addr": place.addr, "chassis": place.chassis, "port": place.chassis}
    if place.first:
        options["multifunction"] = True
    if place.acpi_slot:
        options["slot"] = place.acpi_slot
    return _device(driver="pcie-root-port", id=place.port, **options)


def _disks(machine: Machine) -> Iterator[str]:
    for disk in machine.disks:
        for node in blockdev.build_blockdevs(disk):
            yield from ("-blockdev", _json(node))
    virtio = [disk for disk in machine.disks if disk.bus == "virtio"]
    places = pci.place_all("disk", pci.DISK_SLOTS, [(disk.pci_address, 0) for disk in virtio], 40)
    for place in places:
        if place.port:
            yield from _root_port(place)
    for disk, place in zip(virtio, places, strict=True):
        options = blockdev.build_disk_device(disk, {"bus": place.bus, "addr": place.device_addr})
        yield from ("-device", _json(options))
    yield from _sata(machine)
    yield from _scsi(machine)
    if any(disk.bus == "usb" for disk in machine.disks) or any(bus == "usb" for _, bus in machine.inputs):
        yield from _device(driver="qemu-xhci", id="usb", bus="pcie.0", addr=pci.SINGLE["usb"])
    for disk in machine.disks:
        if disk.bus == "usb":
            yield from ("-device", _json(blockdev.build_disk_device(disk, {"bus": "usb.0"})))


def _sata(machine: Machine) -> Iterator[str]:
    disks = [disk for disk in machine.disks if disk.bus == "sata"]
    for number in range((len(disks) - 1) // SATA_PORTS):
        yield from _device(
            driver="ahci",
            id=f"sata{number + 1}",
            bus="pcie.0",
            addr=f"{pci.SINGLE['sata']}.{number:#x}",
            **({"multifunction": True} if number == 0 else {}),
        )
    for index, disk in enumerate(disks):
        controller, port = divmod(index, SATA_PORTS)
        bus = f"ide.{port}" if controller == 0 else f"sata{controller}.{port}"
        yield from ("-device", _json(blockdev.build_disk_device(disk, {"bus": bus})))


def _scsi(machine: Machine) -> Iterator[str]:
    disks = [disk for disk in machine.disks if disk.bus == "scsi"]
    if disks:
        options: dict[str, Any] = {"iothread": "iothread1"} if machine.iothreads else {}
        yield from _device(driver="virtio-scsi-pci", id="scsi0", bus="pcie.0", addr=pci.SINGLE["scsi"], **options)
    for index, disk in enumerate(disks):
        placement = {"bus": "scsi0.0", "channel": 0, "scsi-id": index // 16384, "lun": index}
        yield from ("-device", _json(blockdev.build_disk_device(disk, placement)))


def _netdev(number: int, nic: Interface, host: Host) -> str:
    if not nic.tap:
        return f"{nic.netdev or 'user,restrict=on'},id=net{number}"
    options = f"tap,id=net{number},ifname={nic.tap},script=no,downscript=no"
    if nic.model == "virtio" and host.vhost_net:
        options += ",vhost=on"
    return options + (f",queues={nic.queues}" if nic.queues > 1 else "")


def _interfaces(machine: Machine, host: Host) -> Iterator[str]:
    wishes = [(nic.pci_address, nic.acpi_slot) for nic in machine.interfaces]
    for number, nic in enumerate(machine.interfaces):
        yield from ("-netdev", _netdev(number, nic, host))
    places = pci.place_all("nic", pci.NIC_SLOTS, wishes, 1)
    for place in sorted((place for place in places if place.port), key=lambda place: place.chassis):
        yield from _root_port(place)
    for number, (nic, place) in enumerate(zip(machine.interfaces, places, strict=True)):
        options: dict[str, Any] = {"driver": NIC_DRIVERS[nic.model], "id": f"ua-{nic.name}", "netdev": f"net{number}"}
        options |= {"mac": nic.mac, "bus": place.bus, "addr": place.device_addr}
        if nic.boot_index is not None:
            options["bootindex"] = nic.boot_index
        elif not nic.rom:
            options["romfile"] = ""
        if nic.acpi_index:
            options["acpi-index"] = nic.acpi_index
        if nic.model == "virtio":
            options |= {"host_mtu": nic.mtu} if nic.mtu else {}
            options |= {"mq": True, "vectors": 2 * nic.queues + 2} if nic.queues > 1 else {}
        yield from ("-device", _json(options))


def _socket(name: str, path: str, log: str = "") -> str:
    return f"socket,id={name},path={path},server=on,wait=off" + (f",logfile={log},logappend=on" if log else "")


def _channels(machine: Machine, sockets: Sockets) -> Iterator[str]:
    if machine.serial_console:
        yield from ("-chardev", _socket("serial0", sockets.serial.name, sockets.serial_log.name))
        yield from (
            "-device",
            _json({"driver": "isa-serial", "chardev": "serial0", "id": "serial0-device", "index": 0}),
        )
    if machine.guest_agent:
        yield from ("-chardev", _socket("agent0", sockets.agent.name))
        yield from _device(driver="virtio-serial-pci", id="channels", bus="pcie.0", addr=pci.SINGLE["serial"])
        yield from _device(
            driver="virtserialport", id="agent", bus="channels.0", nr=1, chardev="agent0", name=GUEST_AGENT_CHANNEL
        )
    if machine.graphics == "none":
        yield from ("-display", "none")
    else:
        yield from ("-vnc", f"unix:{sockets.vnc.name}")
        yield from _device(driver=SCREENS[machine.graphics], id="video0", bus="pcie.0", addr=pci.SCREEN)


def _sound(model: str) -> Iterator[str]:
    """A card that nobody hears: guests want one to be there."""
    if not model:
        return
    yield from ("-audiodev", _json({"driver": "none", "id": "sound0"}))
    place = {"bus": "pcie.0", "addr": pci.SINGLE["sound"]}
    if model == "ac97":
        yield from _device(driver="AC97", id="sound0-card", audiodev="sound0", **place)
    else:
        yield from _device(driver="ich9-intel-hda", id="sound0-card", **place)
        yield from _device(driver="hda-duplex", bus="sound0-card.0", audiodev="sound0")


def _devices(machine: Machine, sockets: Sockets) -> Iterator[str]:
    single = pci.SINGLE
    if machine.balloon:
        yield from _device(driver="virtio-balloon-pci", id="balloon0", bus="pcie.0", addr=single["balloon"])
    if machine.rng:
        yield from ("-object", _json({"qom-type": "rng-random", "id": "rng0", "filename": "/dev/urandom"}))
        yield from _device(driver="virtio-rng-pci", id="rng0-device", rng="rng0", bus="pcie.0", addr=single["rng"])
    if machine.watchdog:
        yield from _device(driver="i6300esb", id="watchdog0", bus="pcie.0", addr=single["watchdog"])
    yield from _sound(machine.sound)
    if machine.panic_device:
        yield from _device(driver="pvpanic")
    for number, (kind, bus) in enumerate(machine.inputs):
        if bus == "usb":
            yield from _device(driver=f"usb-{'kbd' if kind == 'keyboard' else kind}", id=f"input{number}", bus="usb.0")
        else:
            yield from _device(driver=f"virtio-{kind}-pci", id=f"input{number}", bus="pcie.0")
    if machine.tpm:
        yield from ("-chardev", f"socket,id=tpm0,path={sockets.tpm.name}")
        yield from ("-tpmdev", "emulator,id=tpm,chardev=tpm0")
        yield from _device(driver=machine.tpm, tpmdev="tpm")
    for number, (tag, path) in enumerate(machine.filesystems):
        yield from ("-chardev", f"socket,id=fs{number},path={_escape(str(path))}")
        yield from _device(driver="vhost-user-fs-pci", chardev=f"fs{number}", tag=tag, bus="pcie.0")
    for place in pci.spare_ports(machine.hotplug_ports):
        yield from _root_port(place)
