"""Convert a guest's disk in the appliance and prove that it boots, in plain QEMU: for tests and benchmarks.

Plain QEMU stands where KubeVirt or our agent starts the VMIs of a conversion and of a boot proof.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.guests import debian, machine

from isthmus.importer.appliance import build as appliance
from isthmus.importer.convert import events, plan
from isthmus.importer.prove import judge

MAC = "00:50:56:9a:00:01"
CONVERT_SECONDS, BOOT_SECONDS, REBUILD_SECONDS = 90, 240, 600
OVMF = (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd"))
REBUILT = r'\{"isthmus":"rebuilt"[^}]*\}'


@dataclass
class Converted:
    """A converted disk. `seconds` are those of the whole VM, from QEMU's start to its end."""

    disk: Path
    report: events.Report
    text: str
    seconds: float


@dataclass
class Proof:
    """How a boot was judged, `seconds` after power-on."""

    verdict: judge.Verdict
    seconds: float


async def convert(base: Path, out: Path, mac: str = MAC) -> Converted:
    """Run the appliance on an overlay `out` of `base`."""
    if not out.exists():
        await machine.overlay(base, out)
    kernel, initrd = await appliance.build_boot_files()
    arguments = plan.plan([plan.Nic(mac)])
    boot = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", arguments)
    async with machine.boot(out, network=False, keep=True, extra=boot) as running:
        await running.until_end(CONVERT_SECONDS)
        seconds = running.seconds
    return Converted(out, events.parse(running.text.splitlines()), running.text, seconds)


async def judged(guest: machine.Machine, expected: judge.Plan) -> judge.Verdict:
    """Follow a boot until there is a verdict."""
    while True:
        await guest.read(1)
        verdict = judge.judge(guest.text, expected, guest.seconds, ended=guest.ended)
        if verdict.outcome is not judge.Outcome.RUNNING or guest.seconds > BOOT_SECONDS:
            return verdict


async def prove(
    disk: Path, bus: str, expected: judge.Plan, nic: str = "virtio-net-pci", *, uefi: bool = False
) -> Proof:
    """Boot `disk` on an overlay that is thrown away, and judge it by its console."""
    with firmware(uefi=uefi) as options:
        async with machine.boot(disk, bus, mac=MAC, nic=nic, extra=options) as guest:
            verdict = await judged(guest, expected)
            return Proof(verdict, guest.seconds)


@contextmanager
def firmware(*, uefi: bool) -> Iterator[tuple[str, ...]]:
    """QEMU's options for BIOS or UEFI; a fresh variable store, as a moved machine has: it knows no boot entry."""
    if not uefi:
        yield ()
        return
    with tempfile.TemporaryDirectory(prefix="ovmf-") as scratch:
        store = Path(scratch, "vars.fd")
        shutil.copy(OVMF[1], store)
        yield (
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF[0]}",
            "-drive", f"if=pflash,format=raw,unit=1,file={store}",
        )  # fmt: skip


async def log_in(guest: machine.Machine) -> None:
    """A root shell on the serial port of a guest of `debian`. What else writes there may garble a prompt: ask again."""
    for _ in range(3):
        start = len(guest.text)
        await guest.type("")
        await guest.until(r"login: ", 30, start=start)
        await guest.type("root")
        try:
            await guest.until(r"Password: ", 30, start=start)
            await guest.type(debian.PASSWORD)
            await guest.until(r"[#$] ", 60, start=start)
            return
        except TimeoutError:
            continue
    raise TimeoutError(f"nobody could log in; last was: {guest.text[-1500:]}")


async def finish_first_boot(disk: Path, expected: judge.Plan, *, uefi: bool = False) -> tuple[Proof, float]:
    """Boot `disk` itself, judge it, wait until it has rebuilt its initramfs, shut it down: (proof, seconds of all)."""
    with firmware(uefi=uefi) as options:
        async with machine.boot(disk, mac=MAC, extra=options, keep=True) as guest:
            proof = Proof(await judged(guest, expected), guest.seconds)
            if proof.verdict.outcome is judge.Outcome.PASSED:
                rebuilt = await guest.until(REBUILT, REBUILD_SECONDS)
                assert '"result":"done"' in rebuilt.group(0), guest.text[-2000:]
                await log_in(guest)
                await guest.type("poweroff")
                await guest.until_end(120)
            return proof, guest.seconds


async def boot_again(disk: Path, commands: dict[str, str], *, uefi: bool = False) -> dict[str, str]:
    """Boot once more to a login and give what each command prints there."""
    with firmware(uefi=uefi) as options:
        async with machine.boot(disk, mac=MAC, extra=options) as guest:
            await guest.until(r"login: ", BOOT_SECONDS)
            await log_in(guest)
            return {name: await guest.shell(command) for name, command in commands.items()}
