"""What each node has to do with: its Pods, the VMIs that its launcher Pods stand for, and what both refer to.

Follows the store. A commit only marks what it changed; the marks are worked off when a node next asks, or when there
are many, so that a busy cluster whose nodes ask little pays little. An answer looks at the node's own Pods alone.
Model: kubernetes, plugin/pkg/auth/authorizer/node/graph.go. A Pod that has ended gives its node nothing any more.
Asked by `nodeauthorizer` and `noderestriction`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.engine.auth import references
from isthmus.engine.auth.references import Reference
from isthmus.engine.store.row import Row
from isthmus.engine.store.store import Store

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name
PODS, MACHINES = "pods", "virtualmachineinstances.kubevirt.io"
LAUNCHER = "virt-launcher"  # the value of the label `kubevirt.io`
FINAL = ("Succeeded", "Failed")
MOST_MARKS = 512


@dataclass(frozen=True, slots=True)
class BoundPod:
    """A Pod that a node runs. `machine` is the uid of the VMI that it stands for, if it does."""

    node: str
    machine: str
    references: frozenset[Reference]


@dataclass(frozen=True, slots=True)
class Machine:
    """A VMI, whether or not a node has it."""

    uid: str
    references: frozenset[Reference]


def read_pod(pod: Object) -> BoundPod | None:
    """None for a Pod that no node has to do with: it is not bound, or has ended."""
    node = (pod.get("spec") or {}).get("nodeName")
    if not node or (pod.get("status") or {}).get("phase") in FINAL:
        return None
    return BoundPod(node, find_machine(pod), references.of_pod(pod))


def find_machine(pod: Object) -> str:
    """The uid of the VMI that a launcher Pod stands for: its controller's, as labels are anybody's to write."""
    metadata = pod["metadata"]
    if (metadata.get("labels") or {}).get("kubevirt.io") != LAUNCHER:
        return ""
    owners = (o for o in metadata.get("ownerReferences") or () if o.get("controller"))
    return next((o["uid"] for o in owners if o.get("kind") == "VirtualMachineInstance"), "")


class NodeGraph:
    """Answers for the committed state of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pods: dict[Key, BoundPod] = {}
        self._by_node: dict[str, set[Key]] = {}
        self._machines: dict[Key, Machine] = {}
        self._by_uid: dict[tuple[str, str], Machine] = {}  # namespace, uid
        self._marks: dict[str, set[Key]] = {}
        for resource in (PODS, MACHINES):
            self._marks[resource] = set(store.table(resource).rows)
            store.subscribe(resource, self._mark)
        self._settle()

    def _mark(self, rows: Sequence[Row]) -> None:
        marks = self._marks[rows[0].key[0]]
        marks.update(row.key[1:] for row in rows)
        if len(marks) > MOST_MARKS:
            self._settle()

    def _settle(self) -> None:
        for resource, take in ((PODS, self._take_pod), (MACHINES, self._take_machine)):
            marks, self._marks[resource] = self._marks[resource], set()
            for key in marks:
                row = self._store.get((resource, *key))
                take(key, row.decode() if row else None)

    def _take_pod(self, key: Key, pod: Object | None) -> None:
        old, new = self._pods.pop(key, None), read_pod(pod) if pod else None
        if old is not None and (keys := self._by_node[old.node]):
            keys.discard(key)
            if not keys:
                del self._by_node[old.node]
        if new is not None:
            self._pods[key] = new
            self._by_node.setdefault(new.node, set()).add(key)

    def _take_machine(self, key: Key, vmi: Object | None) -> None:
        if (old := self._machines.pop(key, None)) is not None:
            self._by_uid.pop((key[0], old.uid), None)
        if vmi is not None:
            uid = vmi["metadata"]["uid"]
            self._machines[key] = self._by_uid[key[0], uid] = Machine(uid, references.of_machine(vmi))

    def has_pod(self, node: str, namespace: str, name: str) -> bool:
        """Whether the Pod is bound to `node` and has not ended."""
        self._settle()
        return (namespace, name) in self._by_node.get(node, ())

    def has_machine(self, node: str, namespace: str, uid: str) -> bool:
        """Whether a launcher Pod on `node` stands for this VMI."""
        self._settle()
        keys = self._by_node.get(node, ())
        return any(key[0] == namespace and self._pods[key].machine == uid for key in keys)

    def refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a Pod on `node`, or the VMI that it stands for, refers to this object."""
        self._settle()
        wanted = (resource, name)
        for key in self._by_node.get(node, ()):
            if key[0] != namespace:
                continue
            pod = self._pods[key]
            machine = self._by_uid.get((namespace, pod.machine))
            if wanted in pod.references or (machine is not None and wanted in machine.references):
                return True
        return False
