"""The launcher Pod of a VMI as the agent reads it: whose it is, and what it says of the machine's time. Pure."""

from typing import Any

from isthmus.lib import clock

Object = dict[str, Any]
Key = tuple[str, str]

DEFAULT_GRACE = 30
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


def find_deadline(vmi: Object, pod: Object | None) -> float | None:
    """When the machine has to be gone, in seconds since the epoch; None if nobody wants it gone.

    A Pod's deletionTimestamp already includes its grace period, a VMI's does not (it is a custom resource). Without
    its Pod a machine has no place here and no time.
    """
    if pod is None:
        return 0.0
    deadlines = []
    if deleted := vmi["metadata"].get("deletionTimestamp"):
        deadlines.append(clock.parse(deleted) + grace_seconds(vmi))
    if deleted := pod["metadata"].get("deletionTimestamp"):
        deadlines.append(clock.parse(deleted))
    return min(deadlines, default=None)


def grace_seconds(vmi: Object) -> float:
    """How long a guest may take to shut down."""
    grace = vmi["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if grace is None else float(grace)


def waiting_reason(reason: str, pod: Object) -> str:
    """The kubelet's word while it waits between two tries of a pull is ImagePullBackOff."""
    state = ((pod.get("status") or {}).get("containerStatuses") or [{}])[0].get("state") or {}
    before = (state.get("waiting") or {}).get("reason")
    return "ImagePullBackOff" if reason == "ErrImagePull" and before in ("ErrImagePull", "ImagePullBackOff") else reason
