"""Our own converter: the appliance VMI changes the guest on its disks, and reports on its serial console."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.convert import decide, events, plan, vmi
from isthmus.importer.convert.decide import Verdict
from isthmus.importer.phases import launcher
from isthmus.importer.phases.attempt import LOG_KEPT, Attempt
from isthmus.importer.phases.phase import Import
from isthmus.importer.prove import texts

Object = dict[str, Any]


async def attempt(work: Import) -> Attempt | None:
    """Start it, or look at it; None while it runs."""
    machine, name = work.machine, work.child("convert")
    nics = [plan.Nic(nic.mac) for nic in machine.nics if nic.mac]
    claims = [work.claims[disk.id] for disk in machine.disks]
    running = await work.ensure(resources.VMIS, vmi.conversion_vmi(name, work.namespace, claims, plan.plan(nics)))
    phase = (running.get("status") or {}).get("phase")
    if phase not in ("Succeeded", "Failed"):
        await launcher.check(work, running)
        return None
    console = await launcher.console(work, running)
    outcome = judge(events.parse(console.splitlines()), texts.plain(console))
    await work.delete(resources.VMIS, name)
    return outcome


def judge(report: events.Report, log: str) -> Attempt:
    """What a conversion that has ended reported. Pure."""
    verdict = decide.verdict_of(report, machine_ended=True) or Verdict.FAILED
    if verdict is Verdict.CONVERTED:
        return Attempt(verdict, facts=find_facts(report, log))
    reason = report.reason or "the appliance ended without a word"
    return Attempt(verdict, reason, report.seconds, log, dirty=verdict is Verdict.FAILED)


def find_facts(report: events.Report, log: str) -> Object:
    """status.conversion of a guest that was converted."""
    changes = [
        f"{c.action} {c.path}: {c.reason}" + (f" (original: {c.original})" if c.original else "")
        for c in report.changes
    ]
    return {
        "os": report.name or f"{report.os} {report.version}".strip(),
        "osId": f"{report.os}{report.version}",
        "kernel": report.kernel,
        "addresses": {name: list(addresses) for name, addresses in report.addresses.items() if name},
        "devices": "virtio",
        "seconds": report.seconds,
        "changes": changes,
        "warnings": list(report.warnings),
        "log": log[-LOG_KEPT:],
    }
