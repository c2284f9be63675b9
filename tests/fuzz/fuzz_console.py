"""Fuzz what reads a guest's console: the conversion's report and the boot's judge. Nothing may be raised at all.

The console is the guest's own to write: what it says decides the words of a verdict, never whether there is one.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("src", "")]

from tests.fuzz import mutate

from isthmus.importer.convert import decide, events
from isthmus.importer.prove import judge

MOST = 400  # characters of a check's or a verdict's words
PLAN = judge.Plan({"ens192": ["192.168.50.10/24", "2001:db8::1/64"]}, kernel="6.1.0")
BOOT = rb"""SeaBIOS (version 1.16)
Booting from Hard Disk...
[    0.000000] Linux version 6.1.0 (x)
[    1.0] EXT4-fs (vda1): mounted filesystem
{"isthmus":"booted","seconds":20.5,"kernel":"6.1.0","root":"/dev/vda1","disks":["pci0000:00/virtio1/block/vda/vda1"],"addresses":["ens192=192.168.50.10/24","ens192=2001:db8::1/64"],"failedUnits":["a.service"]}
legacy login: """
REPORT = rb"""{"isthmus":"os","seconds":1.3,"id":"debian","version":"12","initramfs":"dracut","agent":"absent"}
{"isthmus":"interface","seconds":1.5,"name":"ens192","mac":"00:50:56:aa:00:01"}
{"isthmus":"address","seconds":1.5,"name":"ens192","address":"192.0.2.7/24"}
{"isthmus":"change","seconds":1.6,"action":"edited","path":"/etc/fstab","original":"/o","reason":"UUID"}
{"isthmus":"verdict","seconds":2.5,"verdict":"unsupported","reason":"no Linux root filesystem was found"}
"""


def target(data: bytes) -> None:
    text = data.decode(errors="replace")
    report = events.parse(text.splitlines())
    decide.verdict_of(report, machine_ended=True)
    for seconds in (1.0, judge.DEADLINE_SECONDS):
        verdict = judge.judge(text, PLAN, seconds)
        assert all(len(check.evidence) <= MOST for check in verdict.checks)
        assert len(verdict.reason) <= MOST
    assert verdict.outcome is not judge.Outcome.RUNNING


def seeds() -> list[bytes]:
    """A boot, a report, both, and endings that are known to fail."""
    failures = [b"\nNo bootable device.", b"\n(initramfs) ", b"\x1b[2J\nALERT!  UUID=x does not exist."]
    return [BOOT, REPORT, BOOT + REPORT, *failures]


if __name__ == "__main__":
    mutate.main(target, seeds())
