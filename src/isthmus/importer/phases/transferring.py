"""Transferring: a claim for each disk, and one worker that streams them all, its progress read from its log."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.map import claims, names
from isthmus.importer.phases.inspecting import source_argument
from isthmus.importer.phases.phase import Import, finished, read_json_lines, worker_pod

Object = dict[str, Any]


async def step(work: Import) -> bool:
    """Make the claims, run the worker, show how far it is."""
    machine, claimed = work.machine, work.claims
    storage = claims.Storage(storage_class=str(work.spec.get("storageClassName") or ""))
    for disk in machine.disks:
        manifest = claims.persistent_volume_claim(disk, claimed[disk.id], work.namespace, storage)
        await work.ensure(resources.PVCS, manifest)
    volumes = {f"disk-{n}": claimed[disk.id] for n, disk in enumerate(machine.disks, 1)}
    arguments = ["transfer", "--source", source_argument(work.spec)]
    if wanted := work.spec["source"].get("machine"):
        arguments += ["--machine", wanted]
    for number, disk in enumerate(machine.disks, 1):
        arguments += ["--disk", f"{disk.id}=disk-{number}"]
    name = names.to_label(f"{work.name}-transfer")
    pod = await work.ensure(resources.PODS, worker_pod(name, arguments, volumes))
    done = await finished(work, pod)
    reports = [r["transfer"] for r in read_json_lines(await work.log(name, tail=3)) if "transfer" in r]
    if reports:
        await work.patch_status({"transfer": reports[-1], "progress": progress(reports[-1])})
    if done:
        await work.delete(resources.PODS, name)
    return done


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
    return shown | ({"etaSeconds": report["secondsLeft"]} if report.get("secondsLeft") is not None else {})
