"""What a VirtualMachinePool needs now: VMs to create, to update, to restart, to delete. Pure; called by `pool`.

Each VM has the pool's name and an index, and so have its DataVolumes. A VM carries the name of the revision (the pool's
spec at a generation) it was made from, and hands it on to its instance by its template's labels: that tells which VM
and which instance is out of date. Source: KubeVirt's pool API, v1beta1.
"""

import copy
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from isthmus.lib import clock
from isthmus.machinery import conditions, labels, owners
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

REVISION = "kubevirt.io/vm-pool-revision-name"
BURST = 50  # VMs created or deleted in one pass
FAILURES = 3
FAILING_TIME = "5m"
FAILING = frozenset(
    {
        "CrashLoopBackOff",
        "ErrorUnschedulable",
        "DataVolumeError",
        "ErrorPvcNotFound",
        "ErrImagePull",
        "ImagePullBackOff",
    }
)


@dataclass(frozen=True, slots=True)
class View:
    """A pool, its VMs, their instances by name, and the pool specs that revisions keep, by name."""

    pool: Object
    vms: tuple[Object, ...]
    vmis: dict[str, Object]
    revisions: dict[str, Object]

    @property
    def live(self) -> list[Object]:
        """The VMs that are not on their way out."""
        return [vm for vm in self.vms if not vm["metadata"].get("deletionTimestamp")]


@dataclass(frozen=True, slots=True)
class Plan:
    """`create`: indices. `update`: VMs of an older revision. `restart`: instances. `delete`: VMs."""

    create: tuple[int, ...] = ()
    update: tuple[Object, ...] = ()
    restart: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()


def plan(view: View, now: float) -> Plan:
    """Scale first; a pool of the right size is brought up to date and healed."""
    spec = view.pool["spec"]
    surplus = len(view.vms) - int(spec.get("replicas", 1))
    if surplus < 0:
        return Plan(create=tuple(_free_indices(view, min(BURST, -surplus))))
    if surplus > 0:
        going = len(view.vms) - len(view.live)
        return Plan(delete=tuple(_surplus(view, surplus - going)))
    if (failing := _failing(view, now)) or at(spec, "updateStrategy.unmanaged") is not None:
        return Plan(delete=tuple(failing))
    outdated = [vm for vm in _selected(view.live, spec, "updateStrategy") if _is_outdated(view, vm)]
    if outdated or at(spec, "updateStrategy.opportunistic") is not None:
        return Plan(update=tuple(outdated))
    return Plan(restart=tuple(_to_restart(view)))


def build_vm(pool: Object, index: int) -> Object:
    """The VM of an index."""
    template = pool["spec"]["virtualMachineTemplate"]
    metadata = template.get("metadata") or {}
    spec = _indexed(template["spec"], pool["spec"].get("nameGeneration") or {}, index)
    revision = {REVISION: revision_name(pool)}
    inner = dict(at(spec, "template.metadata") or {})
    spec["template"]["metadata"] = inner | {"labels": (inner.get("labels") or {}) | revision}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {
            "name": f"{pool['metadata']['name']}-{index}",
            "namespace": pool["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}) | revision,
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owners.reference(pool)],
        },
        "spec": spec,
    }


def revision_name(pool: Object) -> str:
    """The ControllerRevision that keeps the pool's spec of its generation."""
    return f"{pool['metadata']['name']}-{pool['metadata'].get('generation', 1)}"


def build_revision(pool: Object) -> Object:
    """The pool's spec, kept for telling which VMs are out of date."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(pool),
            "namespace": pool["metadata"]["namespace"],
            "ownerReferences": [owners.reference(pool)],
        },
        "data": pool["spec"],
        "revision": pool["metadata"].get("generation", 1),
    }


def index_of(vm: Object) -> int:
    """The index in a VM's name."""
    return int(vm["metadata"]["name"].rpartition("-")[2])


def revision_of(obj: Object | None) -> str:
    """The revision that a VM or an instance was made from."""
    return str(((obj or {}).get("metadata", {}).get("labels") or {}).get(REVISION) or "")


def build_status(view: View, failure: Object | None, now: str) -> Object:
    """Counts, the selector as text, and the conditions ReplicaFailure and ReplicaPaused."""
    old = view.pool.get("status") or {}
    found = conditions.drop(old.get("conditions"), *(() if failure else ("ReplicaFailure",)))
    if failure:
        found = conditions.put(found, failure, now)
    if view.pool["spec"].get("paused"):
        paused = conditions.build("ReplicaPaused", True, "SuccessfulPaused", "Pool controller is paused")
        found = conditions.put(found, paused, now)
    else:
        found = conditions.drop(found, "ReplicaPaused")
    return old | {
        "replicas": len(view.vms),
        "readyReplicas": sum(conditions.is_true(vm, "Ready") for vm in view.live),
        "labelSelector": str(labels.from_label_selector(view.pool["spec"]["selector"])),
        "conditions": found,
    }


def _indexed(spec: Object, generation: Object, index: int) -> Object:
    """The template's VM spec with the index on the names of its DataVolumes, and of ConfigMaps and Secrets if asked."""
    out: Object = copy.deepcopy(spec)
    renamed = {}
    for template in out.get("dataVolumeTemplates") or []:
        metadata = template["metadata"]
        renamed[metadata["name"]] = metadata["name"] = f"{metadata['name']}-{index}"
    renamed = {name.removesuffix(f"-{index}"): name for name in renamed.values()}
    for volume in at(out, "template.spec.volumes") or []:
        for reference, field in _references(volume, generation):
            reference[field] = f"{reference[field]}-{index}"
        for source, field in (("persistentVolumeClaim", "claimName"), ("dataVolume", "name")):
            if (at(volume, f"{source}.{field}")) in renamed:
                volume[source][field] = renamed[volume[source][field]]
    return out


def _references(volume: Object, generation: Object) -> Iterable[tuple[Object, str]]:
    """(object, field) of each name of a ConfigMap or Secret in a volume that gets the index."""
    if generation.get("appendIndexToConfigMapRefs") and volume.get("configMap"):
        yield volume["configMap"], "name"
    if not generation.get("appendIndexToSecretRefs"):
        return
    if volume.get("secret"):
        yield volume["secret"], "secretName"
    for source in ("cloudInitNoCloud", "cloudInitConfigDrive"):
        for reference in ("secretRef", "networkDataSecretRef"):
            if found := at(volume, f"{source}.{reference}"):
                yield found, "name"


def _free_indices(view: View, count: int) -> list[int]:
    prefix = f"{view.pool['metadata']['name']}-"
    taken = {vm["metadata"]["name"].removeprefix(prefix) for vm in view.vms}
    return [index for index in range(len(taken) + count) if str(index) not in taken][:count]


def _surplus(view: View, count: int) -> list[Object]:
    spec = view.pool["spec"]
    unmanaged = any(at(spec, f"scaleInStrategy.{kind}") is not None for kind in ("unmanaged", "opportunistic"))
    if count <= 0 or unmanaged:
        return []
    return _selected(view.live, spec, "scaleInStrategy")[: min(BURST, count)]


def _selected(vms: list[Object], spec: Object, strategy: str) -> list[Object]:
    """The VMs that the strategy's selection policy lets take part, in its order (at random by default)."""
    policy = at(spec, f"{strategy}.proactive.selectionPolicy") or {}
    if (wanted := at(policy, "selectors.labelSelector")) is not None:
        selector = labels.from_label_selector(wanted)
        vms = [vm for vm in vms if selector.matches(at(vm, "spec.template.metadata.labels") or {})]
    if (required := at(policy, "selectors.nodeSelectorRequirementMatcher")) is not None:
        nodes = labels.from_label_selector({"matchExpressions": required})
        vms = [vm for vm in vms if nodes.matches(at(vm, "spec.template.spec.nodeSelector") or {})]
    order = policy.get("sortPolicy")
    if order in ("Newest", "Oldest"):
        return sorted(vms, key=lambda vm: str(vm["metadata"].get("creationTimestamp")), reverse=order == "Newest")
    if order in ("AscendingOrder", "DescendingOrder"):
        return sorted(vms, key=index_of, reverse=order == "DescendingOrder")
    return random.sample(vms, len(vms))


def _is_outdated(view: View, vm: Object) -> bool:
    known = view.revisions.get(revision_of(vm))
    return known is None or known["virtualMachineTemplate"] != view.pool["spec"]["virtualMachineTemplate"]


def _to_restart(view: View) -> list[Object]:
    """Instances of another template than their VM's: those that are down anyway, and as many as may be down at once."""
    stale = [vm for vm in _selected(view.live, view.pool["spec"], "updateStrategy") if _is_stale(view, vm)]
    ready = {vm["metadata"]["name"] for vm in view.live if conditions.is_true(vm, "Ready")}
    down = [vm for vm in stale if vm["metadata"]["name"] not in ready]
    spare = max_unavailable(view.pool["spec"]) - (len(view.live) - len(ready))
    chosen = [*down, *[vm for vm in stale if vm not in down][: max(0, spare)]]
    return [view.vmis[vm["metadata"]["name"]] for vm in chosen]


def _is_stale(view: View, vm: Object) -> bool:
    vmi = view.vmis.get(vm["metadata"]["name"])
    if vmi is None or vmi["metadata"].get("deletionTimestamp") or revision_of(vmi) == revision_of(vm):
        return False
    path = "virtualMachineTemplate.spec.template.spec"
    return bool(at(view.revisions.get(revision_of(vmi)), path) != at(view.pool["spec"], path))


def max_unavailable(spec: Object) -> int:
    """How many VMs may be down for an update: a number or a percentage of the replicas, at least one."""
    given = spec.get("maxUnavailable", "100%")
    if isinstance(given, str):
        given = int(spec.get("replicas", 1)) * int(given.removesuffix("%")) // 100
    return max(1, int(given))


def _failing(view: View, now: float) -> list[Object]:
    """VMs to be replaced because they do not come up."""
    healing = view.pool["spec"].get("autohealing")
    if healing is None:
        return []
    limit = int(healing.get("startUpFailureThreshold") or FAILURES)
    patience = clock.duration(healing.get("minFailingToStartDuration") or FAILING_TIME)

    def fails(vm: Object) -> bool:
        if int(at(vm, "status.startFailure.consecutiveFailCount") or 0) >= limit:
            return True
        since = (conditions.of(vm, "Ready") or {}).get("lastTransitionTime")
        failing = at(vm, "status.printableStatus") in FAILING and not conditions.is_true(vm, "Ready")
        return bool(failing and since and now - clock.parse(since) >= patience)

    return [vm for vm in view.live if fails(vm)]
