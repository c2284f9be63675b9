"""The launcher Pod of a VMI that an import runs: where its console is read, and why it does not start."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.phases.phase import Import, ImportFailedError

Object = dict[str, Any]
CONSOLE_LOG = "guest-console-log"
HOPELESS = ("ErrImagePull", "ImagePullBackOff", "FailedPvcNotFound", "Unschedulable")


async def console(work: Import, vmi: Object, *, tail: int = 0) -> str:
    """What the VMI has written on its serial console so far."""
    selector = f"kubevirt.io/created-by={vmi['metadata']['uid']}"
    pods = (await work.client.list(resources.PODS, work.namespace, labels=selector))["items"]
    if not pods:
        return ""
    newest = max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]))
    return await work.log(newest["metadata"]["name"], CONSOLE_LOG, tail=tail)


def check(vmi: Object) -> None:
    """Raise ImportFailedError if the VMI will never start, with the reason that its conditions give."""
    for condition in (vmi.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "False" and condition.get("reason") in HOPELESS:
            name = vmi["metadata"]["name"]
            raise ImportFailedError(
                f"the helper VM {name} cannot start: {condition.get('message') or condition['reason']}"
            )
