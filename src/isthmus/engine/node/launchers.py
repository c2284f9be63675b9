"""The launcher Pod of a VMI as the agent reads it: whose it is, and what it says of the machine's time. Pure."""

from typing import Any

from isthmus.engine.node import graceperiods
from isthmus.engine.node.graceperiods import Notice

Object = dict[str, Any]
Key = tuple[str, str]

DEFAULT_GRACE = graceperiods.DEFAULT_SECONDS
COMPUTE = "compute"  # the container that stands for the guest
DOMAIN = "kubevirt.io/domain"
CREATED_BY = "kubevirt.io/created-by"


def launcher_key(pod: Object) -> Key | None:
    """The VMI of a launcher Pod; None for another Pod."""
    metadata = pod["metadata"]
    if (metadata.get("labels") or {}).get("kubevirt.io") != "virt-launcher":
        return None
    name = (metadata.get("annotations") or {}).get(DOMAIN) or (metadata.get("labels") or {}).get("vm.kubevirt.io/name")
    return (metadata["namespace"], name) if name else None


def is_of(pod: Object, vmi: Object) -> bool:
    """Whether the Pod was made for this VMI, not for an earlier one of its name."""
    return bool((pod["metadata"].get("labels") or {}).get(CREATED_BY) == vmi["metadata"]["uid"])


def find_notices(vmi: Object, pod: Object | None) -> list[Notice]:
    """Why the machine has to end; nothing if nobody wants it gone.

    A Pod's deletionTimestamp already includes its grace period, a VMI's does not (it is a custom resource). Without
    its Pod a machine has no place here and no time.
    """
    if pod is None:
        return [Notice("the Pod is gone", 0)]
    notices = graceperiods.of_pod(pod)
    if deleted := vmi["metadata"].get("deletionTimestamp"):
        notices.append(Notice("the VMI is deleted", graceperiods.spec_seconds(vmi), deleted))
    return notices
