"""Does KVM really work here? `/dev/kvm` may open, and even create a VM, on a host where guests die or crawl.

So run something: a boot sector of ours that counts to a number which needs a working CPU, then tells QEMU to exit
through the debug-exit device. It takes some milliseconds on KVM; past the deadline the verdict is no. The verdict is
kept until the next boot of the host.
"""

import json
import os
import struct
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.lib import run

DEVICE = Path("/dev/kvm")
DEADLINE = 5.0
EXIT_PORT = 0xF4
GOOD = 0x2A
LOOPS = 3_000_000
RECORD = "kvm.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM runs guests, and the sentence that says why."""

    works: bool
    reason: str
    boot_id: str = ""
    seconds: float = 0.0


def build_boot_sector() -> bytes:
    """512 bytes of 16-bit code: count ECX down, then write GOOD to the exit port.

    mov ecx, LOOPS; again: dec ecx; jnz again; mov al, GOOD; out 0xF4, al; hlt; jmp $-1
    """
    code = (
        b"\x66\xb9"
        + struct.pack("<I", LOOPS)
        + b"\x66\x49\x75\xfc"
        + bytes([0xB0, GOOD, 0xE6, EXIT_PORT])
        + b"\xf4\xeb\xfd"
    )
    return code.ljust(510, b"\x00") + b"\x55\xaa"


def boot_id() -> str:
    """Changes with every boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def build_probe_argv(qemu: str, sector: Path) -> list[str]:
    """QEMU with as little around the payload as it can have."""
    return [
        qemu,
        *("-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "16", "-display", "none"),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-drive", f"file={str(sector).replace(',', ',,')},format=raw,if=ide,readonly=off,snapshot=on"),
        *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=0x04"),
    ]


async def probe(qemu: str, directory: Path) -> Verdict:
    """Run the payload on KVM. isa-debug-exit makes QEMU exit with (value * 2) + 1."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Verdict(False, f"{DEVICE} is missing or may not be opened", boot_id())
    directory.mkdir(parents=True, exist_ok=True)
    sector = directory / "kvm-probe.img"
    sector.write_bytes(build_boot_sector())
    start = time.monotonic()
    try:
        done = await run.run(build_probe_argv(qemu, sector), timeout=DEADLINE, check=False)
    except run.CommandError as error:
        return Verdict(False, f"a test guest did not finish on KVM: {error.reason}", boot_id(), DEADLINE)
    finally:
        sector.unlink(missing_ok=True)
    seconds = round(time.monotonic() - start, 3)
    if done.returncode == GOOD * 2 + 1:
        return Verdict(True, f"a test guest ran on KVM in {seconds:g} s", boot_id(), seconds)
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return Verdict(
        False, f"a test guest died on KVM (exit {done.returncode}) {' '.join(last)[:200]}".strip(), boot_id(), seconds
    )


def read_verdict(directory: Path) -> Verdict | None:
    """What was found since the host's last boot and kept in `directory`."""
    try:
        known = Verdict(**json.loads((directory / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.boot_id == boot_id() else None


async def find_verdict(qemu: str, directory: Path) -> Verdict:
    """The verdict of this boot: read from `directory`, or found now and kept there."""
    if known := read_verdict(directory):
        return known
    verdict = await probe(qemu, directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = directory / f"{RECORD}.tmp"
    written.write_text(json.dumps(asdict(verdict)))
    written.replace(directory / RECORD)
    return verdict
