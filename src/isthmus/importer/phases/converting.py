"""Converting: the appliance VMI changes the guest on its disks; what it reports stands in the status."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.convert import decide, events, plan, vmi
from isthmus.importer.convert.decide import Converter, Verdict
from isthmus.importer.map import names
from isthmus.importer.phases import launcher
from isthmus.importer.phases.phase import Import, ImportFailedError

Object = dict[str, Any]


async def step(work: Import) -> bool:
    """Run the converter that is due; go on to the next one if it declines."""
    if work.spec.get("converter") == "None":
        await work.patch_status({"conversion": {"converter": "None"}})
        return True
    converter = _converter(work)
    if converter is Converter.ISTHMUS:
        return await _run_appliance(work)
    if converter is Converter.VIRT_V2V:
        raise ImportFailedError(
            "this guest needs virt-v2v, which cannot be run here yet: set spec.converter to None to take it as it is"
        )
    await work.patch_status(
        {"conversion": {"converter": converter.value}, "message": "The guest boots in compatibility mode"}
    )
    return True


def _converter(work: Import) -> Converter:
    """The one at work, else the first one."""
    if running := (work.status.get("conversion") or {}).get("converter"):
        return Converter(running)
    asked = work.spec.get("converter") or "Auto"
    requested = None if asked == "Auto" else Converter(asked)
    return decide.first(requested, work.machine.os.guest_id)


async def _run_appliance(work: Import) -> bool:
    machine = work.machine
    name = names.to_label(f"{work.name}-convert")
    nics = [plan.Nic(nic.mac) for nic in machine.nics if nic.mac]
    claims = [work.claims[disk.id] for disk in machine.disks]
    manifest = vmi.conversion_vmi(name, work.namespace, claims, plan.plan(nics))
    running = await work.ensure(resources.VMIS, manifest)
    phase = (running.get("status") or {}).get("phase")
    if phase not in ("Succeeded", "Failed"):
        launcher.check(running)
        return False
    report = events.parse((await launcher.console(work, running)).splitlines())
    verdict = decide.verdict_of(report, machine_ended=True)
    await work.delete(resources.VMIS, name)
    await _record(work, report)
    if verdict is Verdict.CONVERTED:
        return True
    following = decide.following(Converter.ISTHMUS, verdict or Verdict.FAILED, virt_v2v_available=False)
    if verdict is Verdict.FAILED or following is None:
        raise ImportFailedError(
            f"the guest could not be converted: {report.reason or 'the appliance ended without a word'}"
        )
    await work.patch_status({"conversion": {"converter": following.value}})
    return False


async def _record(work: Import, report: events.Report) -> None:
    changes = [
        f"{c.action} {c.path}: {c.reason}" + (f" (original: {c.original})" if c.original else "")
        for c in report.changes
    ]
    conversion = {
        "converter": Converter.ISTHMUS.value,
        "os": report.name or f"{report.os} {report.version}".strip(),
        "seconds": report.seconds,
        "changes": changes,
        "warnings": list(report.warnings),
    }
    await work.patch_status({"conversion": conversion})
