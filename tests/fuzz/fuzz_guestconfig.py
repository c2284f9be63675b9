"""Fuzz what reads a guest's network configuration and boot menus: the appliance's awk programs, run by busybox.

They may find nothing, but always end, without an error, and what they say has the form that the scripts rely on: a name
becomes part of a file's name, an address goes into a report.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("src", "")]

from tests.fuzz import mutate

GUEST = Path(__file__).resolve().parents[2] / "src/isthmus/importer/appliance/guest"
BUSYBOX = shutil.which("busybox") or "/bin/busybox"
MACS = b"00:50:56:aa:00:01\n00:50:56:aa:00:02,uplink0\n"
PIN = re.compile(rb"pin [A-Za-z0-9_.-]{1,15} [0-9a-f:]{17}|warn .*")
ADDRESS = re.compile(rb"@ \S.* ([0-9.]+|[0-9a-fA-F:.]+)(/[0-9]+)?")
READERS = {
    b"interfaces": ("ifupdown.awk",),
    b"keyfile": ("assignments.awk", "format=keyfile"),
    b"ifcfg": ("assignments.awk", "format=ifcfg", "fallback=ens192"),
    b"network": ("assignments.awk", "format=network"),
    b"netplan": ("netplan.awk",),
    b"menu": ("menu.awk",),
}
SEEDS = {
    b"interfaces": b"auto lo ens192\niface ens192 inet static\n address 192.0.2.1\n netmask 255.255.255.0\n",
    b"keyfile": b"[connection]\ntype=ethernet\ninterface-name=ens192\n[ipv4]\naddress1=192.0.2.1/24,192.0.2.254\n"
    b"[ethernet]\nmac-address=00:50:56:AA:00:01\n",
    b"ifcfg": b'DEVICE="ens192"\nHWADDR=00:50:56:aa:00:01\nIPADDR=192.0.2.1\nPREFIX=24\nIPADDR1=192.0.2.2\n',
    b"network": b"[Match]\nName=ens192\nMACAddress=00:50:56:aa:00:01\n[Network]\nAddress=192.0.2.1/24\n",
    b"netplan": b"network:\n  ethernets:\n    lan:\n      match: {macaddress: '00:50:56:aa:00:01'}\n"
    b"      set-name: l0\n"
    b"      addresses:\n        - 192.0.2.1/24\n",
    b"menu": b"set default=\"0\"\nsubmenu 'More' --id m {\n\tmenuentry 'L' $menuentry_id_option 'g' {\n"
    b"\t\tlinux /vmlinuz\n\t\tinitrd /initrd.img\n\t}\n}\n",
}


def awk(programs: tuple[str, ...], values: tuple[str, ...], data: bytes) -> list[bytes]:
    argv = [BUSYBOX, "awk"]
    for value in values:
        argv += ["-v", value]
    for program in programs:
        argv += ["-f", str(GUEST / program)]
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        done = subprocess.run([*argv, file.name], capture_output=True, timeout=mutate.SLOW, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(b"\n")


def target(data: bytes) -> None:
    """The first line of the input names its format."""
    kind, _, text = data.partition(b"\n")
    program, *values = READERS.get(kind, READERS[b"netplan"])
    if program == "menu.awk":
        awk((program,), (), text)
        return
    lines = awk(("netmask.awk", program), tuple(values), text)
    assert all(ADDRESS.fullmatch(line) for line in lines if line.startswith(b"@ "))
    with tempfile.NamedTemporaryFile() as nics:
        nics.write(MACS)
        nics.flush()
        mentioned = b"\n".join(line for line in lines if not line.startswith(b"@ "))
        pins = awk(("pair.awk",), (f"nics={nics.name}",), mentioned)
    assert all(PIN.fullmatch(line) for line in pins if line), pins


def seeds() -> list[bytes]:
    """One of each format."""
    return [kind + b"\n" + text for kind, text in SEEDS.items()]


if __name__ == "__main__":
    mutate.main(target, seeds())
