"""Run `virt-v2v-in-place` on disks, beside their volumes: for guests that our own converter declines, and on request.

Called by the importer's worker. libguestfs is told to start QEMU itself (no libvirt) and, where KVM does not work, not
to try it. The whole output is kept in a log; the phases in it are handed on as they come. The disks are named in a
libvirt domain, as that is the only way to give more than one. It reads them through the program nbdkit.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from isthmus.lib import run

PROGRAM = "virt-v2v-in-place"
DEADLINE_SECONDS = 3600.0
_PHASE = re.compile(r"^\[ *(?P<seconds>\d+\.\d+)\] (?P<text>.+)$")
_PROBLEM = re.compile(r"^(?:virt-v2v(?:-in-place)?): (?P<kind>warning|error): (?P<text>.+)$")
_ENDING = "Finishing off"
_CHANGING = re.compile(r"^Converting (?P<os>.+?) to run on KVM|^Converting ")  # what comes before only reads
_NO_DRIVERS = re.compile(r"no virtio drivers|slower emulated devices")
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Phase:
    """A step that virt-v2v announced, `seconds` after its own start."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """What the log says so far."""

    phases: tuple[Phase, ...]
    warnings: tuple[str, ...]
    error: str

    @property
    def finished(self) -> bool:
        """Whether the conversion got to its end."""
        return any(phase.text.startswith(_ENDING) for phase in self.phases)

    @property
    def changing(self) -> bool:
        """Whether it got so far that the disks may have been changed."""
        return any(_CHANGING.match(phase.text) for phase in self.phases)

    @property
    def os(self) -> str:
        """The guest that it found, in its own words."""
        found = (_CHANGING.match(phase.text) for phase in self.phases)
        return next((match["os"] for match in found if match and match["os"]), "")

    @property
    def virtio(self) -> bool:
        """Whether the guest can drive virtio now: virt-v2v leaves a Windows alone for which it has no drivers."""
        return not any(_NO_DRIVERS.search(warning) for warning in self.warnings)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `converted` is virt-v2v's exit code 0."""

    converted: bool
    output: Output
    seconds: float
    version: str


def is_available() -> bool:
    """Whether the program and the one that it reads disks with are installed here."""
    return all(shutil.which(program) for program in (PROGRAM, "nbdkit"))


def parse(text: str) -> Output:
    """Read phases, warnings and the error out of virt-v2v's output, complete or growing. Pure."""
    phases, warnings, error = [], [], ""
    for line in text.splitlines():
        if phase := _PHASE.match(line):
            phases.append(Phase(float(phase["seconds"]), phase["text"].strip()))
        elif problem := _PROBLEM.match(line):
            if problem["kind"] == "warning":
                warnings.append(problem["text"])
            else:
                error = error or problem["text"]
    return Output(tuple(phases), tuple(warnings), error)


def build_domain(disks: Sequence[Path], image_format: str) -> str:
    """The libvirt domain that names the disks. The format is named, as a raw disk could pretend to be of another."""
    found = []
    for number, disk in enumerate(disks):
        kind, attribute = ("block", "dev") if disk.is_block_device() else ("file", "file")
        found.append(
            f"<disk type='{kind}' device='disk'><driver name='qemu' type={quoteattr(image_format)}/>"
            f"<source {attribute}={quoteattr(str(disk))}/><target dev='sd{_letters(number)}' bus='scsi'/></disk>"
        )
    return (
        "<domain type='kvm'><name>guest</name><memory unit='MiB'>1024</memory><vcpu>1</vcpu>"
        f"<os><type>hvm</type></os><devices>{''.join(found)}</devices></domain>\n"
    )


def _letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    text = chr(ord("a") + number % 26)
    return text if number < 26 else _letters(number // 26 - 1) + text


def build_argv(domain: Path) -> list[str]:
    """The command line. It ends with us, whatever ends us: nothing may go on writing to the disks."""
    return ["setpriv", "--pdeathsig", "KILL", PROGRAM, "-i", "libvirtxml", str(domain)]


def build_environment(*, kvm: bool) -> dict[str, str]:
    """The environment for libguestfs, on top of ours."""
    settings = {} if kvm else {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    return {**os.environ, "LC_ALL": "C.UTF-8", "LIBGUESTFS_BACKEND": "direct", **settings}


async def find_version() -> str:
    """E.g. "virt-v2v-in-place 2.2.0", to be named beside the result. Raises CommandError."""
    return (await run.run([PROGRAM, "--version"])).text.strip()


async def convert(
    disks: Sequence[Path],
    log: Path,
    *,
    image_format: str = "raw",
    kvm: bool = False,
    on_phase: Callable[[Phase], None] = lambda _: None,
    deadline: float = DEADLINE_SECONDS,
) -> Result:
    """Convert the guest on `disks` in place; they are half changed if this fails or is cancelled.

    The domain is written beside the log.
    Raises CommandError if the program cannot be started or does not end within `deadline` seconds.
    """
    version = await find_version()
    began = time.monotonic()
    domain = log.with_suffix(".xml")
    domain.write_text(build_domain(disks, image_format))
    argv = build_argv(domain)
    process = run.start(argv, log=log, env=build_environment(kvm=kvm))
    try:
        async for phase in _follow(log, lambda: process.poll() is None):
            on_phase(phase)
            if time.monotonic() - began > deadline:
                raise run.CommandError(argv, f"did not end within {deadline:g} s")
    finally:
        if process.poll() is None:
            run.kill_group(process.pid)
        process.wait()
    output = parse(log.read_text(errors="replace"))
    return Result(process.returncode == 0, output, time.monotonic() - began, version)


async def _follow(log: Path, running: Callable[[], bool]) -> AsyncIterator[Phase]:
    """The phases as they appear in the log, until the program has ended."""
    known = 0
    while True:
        alive = running()
        phases = parse(log.read_text(errors="replace")).phases
        for phase in phases[known:]:
            yield phase
        known = len(phases)
        if not alive:
            return
        await asyncio.sleep(_POLL_SECONDS)
