"""Transferring: a claim for each disk, and one worker that streams them all, its progress read from its log."""

import time
from typing import Any

from isthmus.client import resources
from isthmus.importer.map import claims
from isthmus.importer.phases import source, worker
from isthmus.importer.phases.phase import Import, ImportFailedError, Next
from isthmus.lib import clock

Object = dict[str, Any]
STALL = 600  # seconds


async def step(work: Import) -> Next:
    """Make the claims, run the worker, show how far it is."""
    machine, claimed = work.machine, work.claims
    storage = claims.Storage(storage_class=str(work.spec.get("storageClassName") or ""))
    for disk in machine.disks:
        manifest = claims.persistent_volume_claim(disk, claimed[disk.id], work.namespace, storage)
        await work.ensure(resources.PVCS, manifest)
    if not machine.disks:
        return Next.ONWARD
    name, given = work.child("transfer"), source.find(work)
    volumes = worker.claim_volumes({f"disk-{n}": claimed[disk.id] for n, disk in enumerate(machine.disks, 1)})
    manifest = worker.build_pod(name, build_arguments(work, given), [*volumes, *given.volumes], "256Mi")
    pod = await work.ensure(resources.PODS, manifest)
    done = await worker.finished(work, pod)
    reports = [r["transfer"] for r in worker.read_json_lines(await work.log(name, tail=3)) if "transfer" in r]
    if reports:
        await _show(work, reports[-1])
    if not done:
        await _check_stall(work, pod)
        return Next.STAY
    await work.patch_status({"disks": written(work, reports[-1] if reports else {})})
    await work.delete(resources.PODS, name)
    return Next.ONWARD


async def _show(work: Import, report: Object) -> None:
    """Write how far the worker is, if that is news."""
    shown, before = progress(report), work.status.get("progress") or {}
    moved = any(shown.get(key) != before.get(key) for key in ("bytes", "percent"))
    last = work.status.get("transfer") or {}
    if moved or last.get("phase") != report.get("phase"):
        change: Object = {"transfer": report, "progress": shown | {"lastProgressTime": clock.timestamp()}}
        await work.patch_status(change | ({"restarts": 0} if resumed_at(report) > resumed_at(last) else {}))


def resumed_at(report: Object) -> int:
    """Where in the source this worker took the transfer up: one that is killed often gets on all the same."""
    return sum(int(disk.get("resumedAt") or 0) for disk in report.get("disks") or [])


async def _check_stall(work: Import, pod: Object) -> None:
    """A worker that reads nothing for long is started anew, or given up."""
    last = (work.status.get("progress") or {}).get("lastProgressTime")
    if last and time.time() - clock.parse(last) > STALL and not pod["metadata"].get("deletionTimestamp"):
        if not await worker.restart(work, pod, f"read nothing for {STALL} s"):
            raise ImportFailedError(f"the transfer stands still: nothing was read for {STALL} s, several times")
        await work.patch_status({"progress": None})


def build_arguments(work: Import, given: source.Source) -> list[str]:
    """The worker's command line."""
    arguments = ["transfer", *given.arguments]
    asked = work.spec["source"]
    for option in ("machine", "checksum"):
        if value := asked.get(option):
            arguments += [f"--{option}", str(value)]
    for number, disk in enumerate(work.machine.disks, 1):
        arguments += ["--disk", f"{disk.id}=disk-{number}"]
    return arguments


def written(work: Import, report: Object) -> list[Object]:
    """status.disks with what the worker wrote."""
    told = {disk["disk"]: disk for disk in report.get("disks") or []}
    found = []
    for disk in work.status.get("disks") or []:
        last = told.get(disk["name"]) or {}
        algorithm, _, digest = str(last.get("digest") or "").partition(":")
        hashed = {"sha256": digest} if algorithm == "sha256" else {}
        found.append(disk | {"bytesWritten": int(last.get("writtenBytes") or 0)} | hashed)
    return found


def progress(report: Object) -> Object:
    """What a worker's report means for `status.progress`."""
    disks = report.get("disks") or []
    percent = int(report.get("percent") or 0)
    shown: Object = {
        "phase": "Transferring",
        "summary": f"{percent}%",
        "percent": percent,
        "bytes": sum(int(d.get("sourceBytes") or 0) for d in disks),
        "totalBytes": sum(int(d.get("sourceSize") or 0) for d in disks),
        "bytesPerSecond": int(report.get("bytesPerSecond") or 0),
    }
    return shown | {"etaSeconds": report.get("secondsLeft")}
