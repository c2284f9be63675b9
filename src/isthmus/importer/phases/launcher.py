"""The launcher Pod of a VMI that an import runs: where its console is read, and why it does not start."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.phases.phase import Import, ImportFailedError

Object = dict[str, Any]
CONSOLE_LOG = "guest-console-log"
# Seconds for what may come right by itself: an image is loaded, a claim is bound, other machines make room.
PATIENCE = {"ErrImagePull": 300, "ImagePullBackOff": 300, "FailedPvcNotFound": 300, "Unschedulable": 900}


async def console(work: Import, vmi: Object, *, tail: int = 0) -> str:
    """What the VMI has written on its serial console so far."""
    selector = f"kubevirt.io/created-by={vmi['metadata']['uid']}"
    pods = (await work.client.list(resources.PODS, work.namespace, labels=selector))["items"]
    if not pods:
        return ""
    newest = max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]))
    return await work.log(newest["metadata"]["name"], CONSOLE_LOG, tail=tail)


async def check(work: Import, vmi: Object) -> None:
    """Tell why the VMI does not start yet, by its conditions; raise ImportFailedError if that has lasted too long."""
    for condition in (vmi.get("status") or {}).get("conditions") or []:
        reason = condition.get("reason")
        if condition.get("status") != "False" or reason not in PATIENCE:
            continue
        name, why = vmi["metadata"]["name"], condition.get("message") or reason
        if work.seconds_in_phase() > PATIENCE[reason]:
            raise ImportFailedError(f"the helper VM {name} cannot start: {why}")
        await work.tell(f"The helper VM {name} waits: {why}")
