"""The shape of one machine, free of both KubeVirt's and QEMU's syntax: what `spec` builds and `argv` spells out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Bus = Literal["virtio", "sata", "scsi", "usb"]
DeviceType = Literal["disk", "cdrom", "lun"]


@dataclass(frozen=True, slots=True)
class Image:
    """A file or block device that holds a disk. `format` is stated by us, never by the image itself.

    `backing` makes this an overlay: the chain is spelled out to QEMU, so the name that a qcow2 header carries is
    never followed.
    """

    path: Path
    format: Literal["raw", "qcow2"] = "raw"
    block_device: bool = False
    direct: bool = True  # O_DIRECT works there
    preallocated: bool = False
    read_only: bool = False
    backing: "Image | None" = None


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk, CD-ROM or LUN. `image` is None for an empty CD-ROM drive."""

    name: str
    image: Image | None
    device: DeviceType = "disk"
    bus: Bus = "sata"
    boot_index: int | None = None
    serial: str = ""
    cache: Literal["none", "writethrough", "writeback"] = "none"
    aio: Literal["threads", "native"] = "threads"
    why: str = ""  # the reason of cache and aio
    read_only: bool = False
    shareable: bool = False
    error_policy: Literal["stop", "ignore", "report", "enospace"] = "stop"
    logical_block_size: int = 0
    physical_block_size: int = 0
    discard_granularity: int = -1
    iothread: str = ""
    queues: int = 0
    pci_address: str = ""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network card and the host side that it hangs on (a tap in the VM's namespace, or user networking)."""

    name: str
    model: str
    mac: str
    tap: str = ""
    netdev: str = ""  # without a tap: the whole value of `-netdev` but for its id
    mtu: int = 0
    boot_index: int | None = None
    pci_address: str = ""
    acpi_slot: int = 0  # of the root port: `ens<slot>`
    acpi_index: int = 0  # of the card: `eno<index>`
    link_up: bool = True
    queues: int = 1
    rom: bool = True  # offer PXE: only a card with a boot order needs it


@dataclass(frozen=True, slots=True)
class Topology:
    """Virtual CPUs. `max_sockets` leaves room to plug more in."""

    sockets: int = 1
    cores: int = 1
    threads: int = 1
    max_sockets: int = 0

    @property
    def vcpus(self) -> int:
        """CPUs at boot."""
        return self.sockets * self.cores * self.threads

    @property
    def max_vcpus(self) -> int:
        """CPUs with every socket filled."""
        return max(self.sockets, self.max_sockets) * self.cores * self.threads


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU model and features, as KubeVirt names them."""

    model: str = "host-model"
    features: tuple[tuple[str, bool], ...] = ()
    hyperv: tuple[str, ...] = ()
    hide_kvm: bool = False


@dataclass(frozen=True, slots=True)
class Firmware:
    """BIOS or UEFI, and the identity that SMBIOS shows."""

    uuid: str
    serial: str = ""
    efi: bool = False
    secure_boot: bool = False
    vars_file: Path | None = None
    acpi: bool = True
    smm: bool = False
    chassis: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KernelBoot:
    """Boot a kernel that lies on the host."""

    kernel: Path
    initrd: Path | None = None
    args: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """A whole machine. `name` is `<namespace>_<name>`, as libvirt domains of KubeVirt are named."""

    name: str
    machine_type: str
    topology: Topology
    cpu: Cpu
    memory: int  # bytes
    firmware: Firmware
    memory_limit: int = 0  # bytes that guest and QEMU together may use; 0: no limit
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    kernel_boot: KernelBoot | None = None
    hugepage_size: int = 0
    shared_memory: bool = False
    serial_console: bool = True
    graphics: str = "vga"  # none, vga, virtio, bochs, qxl
    balloon: bool = True
    guest_agent: bool = True
    rng: bool = False
    watchdog: str = ""  # poweroff, reset, shutdown
    panic_device: bool = False
    sound: str = ""  # ich9, ac97
    ends_at_reboot: bool = False  # a guest that reboots has ended: its VM starts it anew
    inputs: tuple[tuple[str, str], ...] = ()  # (type, bus)
    iothreads: int = 0
    hotplug_ports: int = 0
    clock_base: str = "utc"  # utc or localtime
    timezone: str = ""  # what localtime means: QEMU's TZ
    hpet: bool = False
    tpm: str = ""  # the model of its TPM: tpm-tis or, if what it holds is kept over restarts, tpm-crb
    filesystems: tuple[tuple[str, Path], ...] = ()  # virtiofs: tag, socket of its daemon
    start_paused: bool = False
    notes: tuple[str, ...] = ()  # choices made for the user, with their reasons


@dataclass(frozen=True, slots=True)
class Host:
    """What the host's QEMU and kernel offer: found once by `host.find_host`."""

    qemu: str
    version: tuple[int, ...]
    accelerator: Literal["kvm", "tcg"]
    machine_types: tuple[str, ...] = ()
    machine_aliases: tuple[tuple[str, str], ...] = (("q35", "pc-q35-7.2"),)
    firmwares: tuple[tuple[str, Path, Path], ...] = ()  # kind ("plain", "secure"), code, variables template
    vhost_net: bool = False
    sandbox: bool = True
    swtpm: str = ""  # its path; empty if there is none

    def resolve_machine(self, name: str) -> str:
        """The versioned type behind an alias, so that a guest's ABI can be recorded."""
        return dict(self.machine_aliases).get(name, name)

    def find_firmware(self, *, secure: bool) -> tuple[Path, Path] | None:
        """(code, variables template) of UEFI, or None if the host has none."""
        kind = "secure" if secure else "plain"
        return next(((code, nvram) for name, code, nvram in self.firmwares if name == kind), None)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where one machine's doors lie: all in its own directory."""

    directory: Path

    @property
    def qmp(self) -> Path:
        """The monitor (QMP)."""
        return self.directory / "qmp.sock"

    @property
    def serial(self) -> Path:
        """The serial console."""
        return self.directory / "serial.sock"

    @property
    def serial_log(self) -> Path:
        """Everything that the guest wrote on its serial console."""
        return self.directory / "serial.log"

    @property
    def qemu_log(self) -> Path:
        """QEMU's own words."""
        return self.directory / "qemu.log"

    @property
    def vnc(self) -> Path:
        """The screen (RFB)."""
        return self.directory / "vnc.sock"

    @property
    def agent(self) -> Path:
        """The guest agent's channel."""
        return self.directory / "agent.sock"

    @property
    def tpm(self) -> Path:
        """The TPM's control channel."""
        return self.directory / "tpm.sock"

    @property
    def tpm_pidfile(self) -> Path:
        """Written by swtpm."""
        return self.directory / "swtpm.pid"

    @property
    def pidfile(self) -> Path:
        """Written by QEMU; its path in the process's arguments is how the process is known again."""
        return self.directory / "qemu.pid"
