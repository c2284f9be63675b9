"""What is decided and laid ready before a machine's process begins. Called by `machines`."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.engine.node.net.model import Attachment
from isthmus.engine.node.vm import argv, pci, process, records, spec
from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vm.machine import Host, Image, KernelBoot, Machine, Sockets

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is to run: its host, its files, its networks, what its VM keeps."""

    host: Host
    sockets: Sockets
    attachment: Attachment
    state: Path


@dataclass(frozen=True, slots=True)
class Planned:
    """A machine that can be started: what it is, its command inside its network namespace, its record."""

    machine: Machine
    command: list[str]
    record: Object


def build_planned(
    vmi: Object, images: Mapping[str, Image | None], kernel_boot: KernelBoot | None, place: Place
) -> Planned:
    """Decide everything about the machine of a VMI. Raises SpecError."""
    nics = {nic.name: nic for nic in place.attachment.nics}
    machine = spec.build_machine(vmi, images, nics, place.host, place.sockets.directory, kernel_boot, place.state)
    try:
        arguments = argv.build_argv(machine, place.host, place.sockets)
    except pci.PciError as error:
        raise SpecError("spec.domain.devices", str(error)) from error
    resolved = place.host.resolve_machine(machine.machine_type)
    record = records.build_record(vmi, machine, resolved, place.attachment, arguments)
    return Planned(machine, process.namespaced(arguments, place.attachment.netns), record)


def prepare_firmware(machine: Machine, host: Host) -> None:
    """Give a guest that boots by UEFI its own variables, once."""
    target = machine.firmware.vars_file
    found = host.find_firmware(secure=machine.firmware.secure_boot)
    if target and found and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = target.with_suffix(".new")  # a copy that was cut short would keep the machine from starting for ever
        shutil.copyfile(found[1], part)
        part.replace(target)


def wants_persistent_tpm(vmi: Object) -> bool:
    """Whether what the TPM holds is kept from one instance to the next."""
    return bool((vmi["spec"]["domain"]["devices"]["tpm"] or {}).get("persistent"))
