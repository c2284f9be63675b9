"""The worker's `convert`: virt-v2v beside the volumes, its words in our log, its verdict as the log's last JSON line.

    {"virtV2V": {"phase": ...}}                      as it goes
    {"virtV2V": {"verdict": ..., "dirty": ..., ...}} at the end: `phases.virtv2v` reads it

The verdict is converted; unsupported (no guest that it knows; nothing was changed); or failed. Exits with 0 in any
case: that a guest is not known is no failure of the worker. Leaves with its children when it is told to end.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from isthmus.importer.convert import virtv2v
from isthmus.importer.convert.decide import Verdict
from isthmus.importer.worker.interrupt import Interrupted
from isthmus.lib.run import CommandError

Told = dict[str, Any]


def run(disks: Sequence[Path], deadline: float | None) -> None:
    """Convert the guest on `disks`. Raises Interrupted."""
    asyncio.run(_run(disks, deadline or virtv2v.DEADLINE_SECONDS))


async def _run(disks: Sequence[Path], deadline: float) -> None:
    if not virtv2v.is_available():
        _tell({"verdict": Verdict.UNSUPPORTED.value, "dirty": False, "reason": "virt-v2v is not installed on the node"})
        return
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        _tell(await _convert(disks, deadline))
    except asyncio.CancelledError as error:
        raise Interrupted("cancelled before it was done") from error


async def _convert(disks: Sequence[Path], deadline: float) -> Told:
    with tempfile.TemporaryDirectory(prefix="isthmus-v2v-") as scratch:
        log = Path(scratch, "virt-v2v.log")
        try:
            result = await virtv2v.convert(
                disks, log, kvm=_has_kvm(), on_phase=lambda phase: _tell({"phase": phase.text}), deadline=deadline
            )
        except CommandError as error:
            return {"verdict": Verdict.FAILED.value, "dirty": True, "reason": str(error)}
        finally:
            if log.exists():
                sys.stdout.write(log.read_text(errors="replace"))
    return judge(result)


def judge(result: virtv2v.Result) -> Told:
    """What the controller is told of a run that has ended. Pure."""
    output = result.output
    told: Told = {"seconds": round(result.seconds, 1), "version": result.version, "warnings": list(output.warnings)}
    if result.converted:
        phases = [phase.text for phase in output.phases]
        return told | {"verdict": Verdict.CONVERTED.value, "os": output.os, "virtio": output.virtio, "phases": phases}
    verdict = Verdict.FAILED if output.changing else Verdict.UNSUPPORTED
    reason = output.error or "virt-v2v ended without a word"
    return told | {"verdict": verdict.value, "dirty": output.changing, "reason": reason}


def _has_kvm() -> bool:
    """The agent says what it found out; in a pod on a cluster the device is there only if it may be used."""
    if accelerator := os.environ.get("ISTHMUS_ACCELERATOR"):
        return accelerator == "kvm"
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def _tell(told: Told) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps({"virtV2V": told}) + b"\n")
    sys.stdout.buffer.flush()
