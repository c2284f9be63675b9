"""Guests of one boot sector: they run a second after QEMU starts, and cost next to nothing while they do.

`IDLE` halts its CPU for ever (and hears no ACPI button). `DONE` powers the machine off by itself after three seconds,
as a guest does whose work is done. For tests of what is around a guest; tiny and legacy
have something inside.
"""

import tempfile
from pathlib import Path

from tests.guests import tiny

SECTOR = 512
SIGNATURE = b"\x55\xaa"
HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp back to the hlt
WAIT = b"\xb4\x86\xb9\x2d\x00\xba\xc0\xc6\xcd\x15"  # INT 15h, AH=86h: 3,000,000 microseconds (002D:C6C0)
POWER_OFF = b"\xba\x04\x06\xb8\x00\x20\xef"  # out 0x604, 0x2000: SLP_EN for S5 where SeaBIOS puts q35's PM1a control
PROGRAMS = {"idle": HALT, "done": WAIT + POWER_OFF + HALT}
IDLE, DONE = (f"isthmus.test/{name}:1" for name in PROGRAMS)


def write(out: Path, name: str) -> None:
    """Write the container disk of one of PROGRAMS as an OCI archive."""
    sector = PROGRAMS[name].ljust(SECTOR - len(SIGNATURE), b"\0") + SIGNATURE
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(sector.ljust(1 << 20, b"\0"))
        disk.flush()
        tiny.write_container_disk(out, Path(disk.name), f"isthmus.test/{name}:1")
