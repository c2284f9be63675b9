"""virt-v2v: a worker beside the disks runs `virt-v2v-in-place`; its phases are shown, the end of its log is kept."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.convert.decide import Verdict
from isthmus.importer.map import guests
from isthmus.importer.phases import worker
from isthmus.importer.phases.attempt import LOG_KEPT, Attempt
from isthmus.importer.phases.phase import Import
from isthmus.importer.sources.machine import OperatingSystem

Object = dict[str, Any]
MEMORY = "1Gi"  # of libguestfs' own machine, and a little


async def attempt(work: Import) -> Attempt | None:
    """Start it, or look at it; None while it runs."""
    name = work.child("virt-v2v")
    volumes = {f"disk-{number}": work.claims[disk.id] for number, disk in enumerate(work.machine.disks, 1)}
    arguments = ["convert", *(argument for volume in volumes for argument in ("--volume", volume))]
    pod = await work.ensure(
        resources.PODS, worker.build_pod(name, arguments, worker.claim_volumes(volumes), memory=MEMORY)
    )
    done = await worker.finished(work, pod)
    text = await work.log(name, tail=0 if done else 20)
    told = [line["virtV2V"] for line in worker.read_json_lines(text) if "virtV2V" in line]
    if not done:
        await _show(work, told)
        return None
    log = "\n".join(ln for ln in text.splitlines() if not ln.startswith("{"))
    outcome = judge(told[-1] if told else {}, log, work.machine.os)
    await work.delete(resources.PODS, name)
    return outcome


async def _show(work: Import, told: list[Object]) -> None:
    if told and (phase := told[-1].get("phase")):
        shown = {"phase": "Converting", "summary": f"virt-v2v: {phase}"}
        if work.status.get("progress") != shown:
            await work.patch_status({"progress": shown, "message": f"virt-v2v: {phase}"})


def judge(result: Object, log: str, source: OperatingSystem) -> Attempt:
    """What the worker's last word means; `source` is what the source says of the guest. Pure."""
    verdict = Verdict(str(result.get("verdict") or Verdict.FAILED.value))
    seconds, reason = float(result.get("seconds") or 0), str(result.get("reason") or "virt-v2v ended without a word")
    if verdict is not Verdict.CONVERTED:
        return Attempt(verdict, reason, seconds, log, dirty=bool(result.get("dirty", True)))
    found = str(result.get("os") or "")
    facts = {
        "os": _name(found, source),
        "osId": found,
        "devices": "virtio" if result.get("virtio", True) else "compatible",
        "seconds": round(seconds, 1),
        "changes": [f"{result.get('version', 'virt-v2v')}: {phase}" for phase in result.get("phases") or []],
        "warnings": [str(warning) for warning in result.get("warnings") or []],
        "log": log[-LOG_KEPT:],
    }
    return Attempt(verdict, facts=facts)


def _name(found: str, source: OperatingSystem) -> str:
    """The guest as virt-v2v calls it, which of some (Debian) says no more than "12.15": then with the source's word."""
    known = guests.find_guest(found) != guests.UNKNOWN
    return found if known else " ".join(filter(None, (source.description or source.guest_id, found)))
