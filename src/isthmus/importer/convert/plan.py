"""What the appliance is told: the new machine's network interfaces, as kernel arguments.

Called by the importer's controller with the NICs of the VM it is about to create. Nothing else need be said: the
appliance finds out about the guest by itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Quiet and quick: nothing in this machine is secret from the guest it converts; a panic must end it. The second line
# saves what a kernel does once at boot and what emulation makes dear: self-tests, patching itself, page protections;
# the third what it does all the time: zeroing pages, checking copies, auditing, watching itself.
BASE_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off nokaslr random.trust_cpu=on tsc=reliable "
    "cryptomgr.notests noreplace-smp rodata=off "
    "init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off lsm= audit=0 nowatchdog kfence.sample_interval=0"
)

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface of the new machine. `name` is the name it must bear in the guest, if a person said so."""

    mac: str
    name: str | None = None


def plan(nics: Sequence[Nic]) -> str:
    """The kernel arguments for converting a guest whose NICs, in the old machine's order, are `nics`.

    Raises ValueError for a MAC or a name that could not stand as one word of a command line.
    """
    return " ".join((BASE_ARGUMENTS, *map(_argument, nics)))


def _argument(nic: Nic) -> str:
    mac = nic.mac.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ValueError(f"{nic.mac!r} is no MAC address: expected six bytes like 00:50:56:aa:bb:cc")
    if nic.name is None:
        return f"isthmus.nic={mac}"
    if not _NAME.fullmatch(nic.name):
        raise ValueError(f"{nic.name!r} is no name of a network interface: at most 15 letters, digits, '_', '.', '-'")
    return f"isthmus.nic={mac},{nic.name}"
