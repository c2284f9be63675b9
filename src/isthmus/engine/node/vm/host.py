"""Find out once what this host's QEMU and kernel can do."""

import asyncio
import os
import re
import shutil
from pathlib import Path

from isthmus.engine.node.vm import kvm, tpm
from isthmus.engine.node.vm.errors import MachineError
from isthmus.engine.node.vm.machine import Host
from isthmus.lib import run

BINARIES = ("qemu-system-x86_64", "qemu-kvm", "/usr/libexec/qemu-kvm")
# (kind, code, variables): the 4 MB builds first, they have room for a modern dbx.
FIRMWARES = (
    ("plain", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("secure", "/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("plain", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("secure", "/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
    ("plain", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("secure", "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
)
_MACHINE = re.compile(r"^(\S+)\s+.*?(?:\(alias of (\S+)\))?(?: \(default\))?$")


def parse_machines(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """(types, (alias, type) pairs) of `qemu -machine help`."""
    types, aliases = [], []
    for line in text.splitlines()[1:]:
        if match := _MACHINE.match(line.strip()):
            types.append(match[1])
            if match[2]:
                aliases.append((match[1], match[2]))
    return tuple(types), tuple(aliases)


def parse_version(text: str) -> tuple[int, ...]:
    """(7, 2, 22) of `QEMU emulator version 7.2.22 (Debian ...)`."""
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else (0,)


def find_qemu() -> str:
    """The path of QEMU. Raises MachineError with what to install."""
    for name in BINARIES:
        if path := shutil.which(name):
            return path
    raise MachineError("no QEMU on this node; install the package qemu-system-x86 (or qemu-kvm)")


def find_firmwares() -> tuple[tuple[str, Path, Path], ...]:
    """UEFI builds that lie on this host, best first."""
    return tuple(
        (kind, Path(code), Path(nvram))
        for kind, code, nvram in FIRMWARES
        if Path(code).exists() and Path(nvram).exists()
    )


async def find_host(cache: Path) -> Host:
    """Everything at once; `cache` is a directory for the verdict on KVM, which takes seconds to find."""
    qemu = find_qemu()
    version, machines, sandbox, verdict = await asyncio.gather(
        run.run([qemu, "--version"]),
        run.run([qemu, "-machine", "help"]),
        run.run([qemu, "-sandbox", "on", "-machine", "help"], check=False),
        kvm.find_verdict(qemu, cache),
    )
    types, aliases = parse_machines(machines.text)
    return Host(
        qemu=qemu,
        version=parse_version(version.text),
        accelerator="kvm" if verdict.works else "tcg",
        machine_types=types,
        machine_aliases=aliases,
        firmwares=find_firmwares(),
        vhost_net=os.access("/dev/vhost-net", os.R_OK | os.W_OK),
        sandbox=sandbox.returncode == 0,
        swtpm=tpm.find_program(),
    )
