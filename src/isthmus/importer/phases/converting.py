"""Converting: one converter after the other until one has made the guest fit, or it boots with the devices it knows.

Ours first (`appliance`), virt-v2v for guests that it declines (`virtv2v`), compatibility mode for guests that neither
knows; `convert.decide` has the order. Each attempt is kept in the status. One that may have changed the disks sends the
import back to Transferring. A converter that was asked for by name is the only one tried.
"""

from typing import Any

from isthmus.importer.convert import decide
from isthmus.importer.convert.decide import Converter, Verdict
from isthmus.importer.phases import appliance, uploading, virtv2v
from isthmus.importer.phases.attempt import Attempt
from isthmus.importer.phases.phase import Import, ImportFailedError, Next

Object = dict[str, Any]
NONE = "None"
RUNNERS = {Converter.ISTHMUS: appliance.attempt, Converter.VIRT_V2V: virtv2v.attempt}
MESSAGES = {
    Converter.ISTHMUS: "Making the guest fit for virtio",
    Converter.VIRT_V2V: "virt-v2v makes the guest fit for virtio",
    Converter.COMPATIBILITY: "The guest boots in compatibility mode: disks on SATA, e1000e cards",
}


async def step(work: Import) -> Next:
    """Run the converter that is due; go on to the next one if it declines."""
    if work.spec.get("converter") == NONE or not work.machine.disks:
        await work.patch_status({"conversion": {"converter": NONE}})
        return await _finish(work)
    converter = _due(work)
    if converter is Converter.COMPATIBILITY:
        change = {"converter": converter.value, "devices": "compatible", "os": "unknown"}
        await work.patch_status({"conversion": change, "message": MESSAGES[converter]})
        return await _finish(work)
    if not (work.status.get("conversion") or {}).get("converter"):
        await work.patch_status({"conversion": {"converter": converter.value}, "message": MESSAGES[converter]})
    outcome = await RUNNERS[converter](work)
    if outcome is None:
        return Next.STAY
    if outcome.verdict is Verdict.CONVERTED:
        await work.patch_status({"conversion": outcome.facts | {"converter": converter.value}})
        return await _finish(work)
    return await _go_on(work, converter, outcome)


async def _finish(work: Import) -> Next:
    await uploading.clean_up(work)
    return Next.ONWARD


def _requested(work: Import) -> Converter | None:
    asked = work.spec.get("converter") or "Auto"
    return None if asked == "Auto" else Converter(asked)


def _due(work: Import) -> Converter:
    """The one at work, else the first one."""
    if running := (work.status.get("conversion") or {}).get("converter"):
        return Converter(running)
    return decide.first(_requested(work), work.machine.os.guest_id)


async def _go_on(work: Import, tried: Converter, outcome: Attempt) -> Next:
    """Note the attempt, and choose the next converter."""
    if _requested(work):
        raise ImportFailedError(
            f"{tried.value} could not convert the guest: {outcome.reason}; with spec.converter Auto others are tried"
        )
    following = decide.following(tried, outcome.verdict, virt_v2v_available=True) or Converter.COMPATIBILITY
    note = outcome.note(tried)
    attempts = [*((work.status.get("conversion") or {}).get("attempts") or []), note]
    change = {"converter": following.value, "attempts": attempts}
    message = f"{tried.value} does not convert this guest ({outcome.reason}); next: {following.value}"
    await work.patch_status({"conversion": change, "message": message, "progress": None})
    await work.warn("ConverterDeclined", message)
    return Next.TRANSFER if outcome.dirty else Next.STAY
