"""NodeRestriction: what a node may write, where the path of a request does not tell whose it is.

The agent of a node writes its own Node and Lease; of its own Pods the status; of VMIs that it runs the status; of the
claims and volumes that lie with it what it says about them. It creates mirror Pods only, which refer to nothing, or a
node could read by way of a Pod what is not its own. Rules and words: kubernetes, plugin/pkg/admission/noderestriction;
for VMIs as KubeVirt's node restriction of virt-handler; for volumes our own.
A plugin of the registry's admission, made here because only this layer knows which node runs what.
"""

from collections.abc import Callable
from typing import Any

from isthmus.engine.auth import references
from isthmus.engine.auth.nodegraph import MACHINES, PODS, NodeGraph
from isthmus.engine.auth.user import User, node_name
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategies.pods import MIRROR
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Check = Callable[[str, Object, Object | None, WriteContext, Lookup], str]  # why it may not be; "" if it may
LEASES = "leases.coordination.k8s.io"
CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
HOSTNAME = "kubernetes.io/hostname"
LOCAL_VOLUME = "isthmus.dev/local-volume"  # the agent's finalizer, which stands for the volume's directory
UPLOAD = "cdi.kubevirt.io/storage."  # annotations of a claim: how far an upload into it is
SERVER_MADE = frozenset(("managedFields", "resourceVersion", "generation"))
KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
KUBELET_LABELS = frozenset(
    (
        HOSTNAME, "kubernetes.io/os", "kubernetes.io/arch", "kubernetes.io/instance-type",
        "beta.kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    )
)  # fmt: skip


def plugin(graph: NodeGraph) -> Plugin:
    """The admission plugin."""
    checks: dict[str, Check] = {
        "nodes": _check_node,
        LEASES: _check_lease,
        PODS: _check_pod,
        CLAIMS: _check_claim,
        VOLUMES: _check_volume,
        MACHINES: lambda node, new, old, _context, _lookup: _check_machine(graph, node, new, old),
    }

    def validate(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
        if (node := _node(context)) and (why := checks[served.kind.resource](node, new, old, context, lookup)):
            raise _refusal(served, new, why)

    def validate_delete(served: Served, old: Object, _: Object | None, context: WriteContext, _lookup: Lookup) -> None:
        if not (node := _node(context)):
            return
        if served.kind.resource == PODS and old["spec"].get("nodeName") != node:
            raise _refusal(served, old, f'node "{node}" can only delete pods with spec.nodeName set to itself')

    return Plugin("NodeRestriction", frozenset(checks), validate=validate, validate_delete=validate_delete)


def _node(context: WriteContext) -> str:
    return node_name(User(context.user, context.groups))


def _refusal(served: Served, obj: Object, why: str) -> errors.StatusError:
    return errors.forbidden(served.kind.group, served.kind.plural, obj["metadata"].get("name", ""), why)


def check_token(user: User, pod: Object | None, uid: str) -> str:
    """Why `user` may not have a token bound to `pod` (None: bound to none) under the uid that the request names."""
    if not (node := node_name(user)):
        return ""
    if pod is None:
        return "node requested token not bound to a pod"
    if not uid:
        return "node requested token with a pod binding without a uid"
    return (
        ""
        if pod["spec"].get("nodeName") == node
        else "node requested token bound to a pod scheduled on a different node"
    )


# -- nodes and leases -------------------------------------------------------------------------------------------------


def _check_node(node: str, new: Object, old: Object | None, _context: WriteContext, _lookup: Lookup) -> str:
    name = new["metadata"]["name"]
    if name != node:
        return f'node "{node}" is not allowed to modify node "{name}"'
    before = old or {"metadata": {}, "spec": {}}
    if (source := at(new, "spec.configSource")) is not None and source != at(before, "spec.configSource"):
        return f'node "{node}" is not allowed to set spec.configSource'
    if old is not None and (at(new, "spec.taints") or []) != (at(old, "spec.taints") or []):
        return f'node "{node}" is not allowed to modify taints'
    if steering := _steering_labels(_labels(new), _labels(before)):
        return f"is not allowed to modify labels: {', '.join(steering)}"
    return ""


def _labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _steering_labels(new: dict[str, str], old: dict[str, str]) -> list[str]:
    """Changed labels by which a node would draw work to itself that is not meant for it."""
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    return sorted(key for key in changed if key not in KUBELET_LABELS and _is_kubernetes(key.rpartition("/")[0]))


def _is_kubernetes(domain: str) -> bool:
    """Whether labels of the domain are Kubernetes' to define; `kubevirt.io` and the like are not."""
    if _within(domain, KUBELET_DOMAINS):
        return False
    return _within(domain, ("kubernetes.io", "k8s.io"))


def _within(domain: str, parents: tuple[str, ...]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


def _check_lease(node: str, new: Object, _old: Object | None, _context: WriteContext, _lookup: Lookup) -> str:
    """That it lies in kube-node-lease, the authorizer has seen to."""
    return (
        ""
        if new["metadata"]["name"] == node
        else "can only access node lease with the same name as the requesting node"
    )


# -- pods -------------------------------------------------------------------------------------------------------------


def _check_pod(node: str, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> str:
    if old is None:
        return _check_mirror(node, new, lookup)
    if context.subresource != "status":
        return f'unexpected operation "UPDATE", node "{node}" can only create and delete mirror pods'
    if old["spec"].get("nodeName") != node:
        return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'  # noqa: S608
    if _labels(new) != _labels(old):
        return f'node "{node}" cannot update labels through pod status'
    if at(new, "status.resourceClaimStatuses") != at(old, "status.resourceClaimStatuses"):
        return f'node "{node}" cannot update resource claim statuses'
    return ""


def _check_mirror(node: str, pod: Object, lookup: Lookup) -> str:
    if MIRROR not in _annotations(pod):
        return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if pod["spec"].get("nodeName") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) != 1 or not _is_owner(owners[0], node, lookup):
        return f'node "{node}" can only create pods with a single controller owner reference set to itself'
    if owners[0].get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    for kind, _name in sorted(references.of_pod(pod)):
        return f'node "{node}" can not create pods that reference {kind}'
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim") or volume.get("ephemeral"):
            return f'node "{node}" can not create pods that reference {CLAIMS}'
        if any(source.get("clusterTrustBundle") for source in at(volume, "projected.sources") or ()):
            return f'node "{node}" can not create pods that reference clustertrustbundles'
    return ""


def _is_owner(owner: Object, node: str, lookup: Lookup) -> bool:
    found = lookup("nodes", "", node)
    return (
        (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) == ("v1", "Node", node)
        and bool(owner.get("controller"))
        and found is not None
        and owner.get("uid") == found["metadata"]["uid"]
    )


# -- machines and volumes ---------------------------------------------------------------------------------------------


def _check_machine(graph: NodeGraph, node: str, new: Object, old: Object | None) -> str:
    """Its spec names Secrets, and its labels and owners decide who looks after it: only its status is the node's."""
    if old is None:
        return f'node "{node}" cannot create virtual machine instances'
    metadata = old["metadata"]
    ran_by = at(old, "status.nodeName") or ""
    if ran_by != node and not graph.has_machine(node, metadata["namespace"], metadata["uid"]):
        return f'node "{node}" can only update virtual machine instances that it runs'
    if (at(new, "status.nodeName") or "") not in (ran_by, node):
        return f'node "{node}" cannot hand a virtual machine instance to another node'
    if _without(new, "status") != _without(old, "status") or _metadata(new) != _metadata(old):
        return f'node "{node}" can only update the status of virtual machine instances'
    return ""


def _check_claim(node: str, new: Object, old: Object | None, _context: WriteContext, lookup: Lookup) -> str:
    if old is None:
        return f'node "{node}" cannot create {CLAIMS}'
    volume = lookup(VOLUMES, "", at(old, "spec.volumeName") or "")
    if volume is None or not lies_on(volume, node):
        return f'node "{node}" can only update {CLAIMS} whose volumes lie with it'
    others = [{k: v for k, v in _annotations(obj).items() if not k.startswith(UPLOAD)} for obj in (new, old)]
    rest = [_metadata(obj) | {"annotations": None} for obj in (new, old)]
    if _without(new) != _without(old) or others[0] != others[1] or rest[0] != rest[1]:
        return f'node "{node}" is not allowed to update fields of {CLAIMS} other than annotations {UPLOAD}*'
    return ""


def _check_volume(node: str, new: Object, old: Object | None, _context: WriteContext, _lookup: Lookup) -> str:
    if old is None:
        return f'node "{node}" cannot create {VOLUMES}'
    if not lies_on(old, node):
        return f'node "{node}" can only update {VOLUMES} that lie with it'
    changed = set(new["metadata"].get("finalizers") or ()) ^ set(old["metadata"].get("finalizers") or ())
    rest = [_metadata(obj) | {"finalizers": None} for obj in (new, old)]
    if _without(new) != _without(old) or changed - {LOCAL_VOLUME} or rest[0] != rest[1]:
        return f'node "{node}" is not allowed to update fields of {VOLUMES} other than its finalizer {LOCAL_VOLUME}'
    return ""


def lies_on(volume: Object, node: str) -> bool:
    """Whether a PersistentVolume's node affinity names this node, as that of local volumes must."""
    terms = at(volume, "spec.nodeAffinity.required.nodeSelectorTerms") or ()
    expressions = (e for term in terms for e in term.get("matchExpressions") or ())
    return any(e["key"] == HOSTNAME and e["operator"] == "In" and node in (e.get("values") or ()) for e in expressions)


def _metadata(obj: Object) -> Object:
    return {key: value for key, value in obj["metadata"].items() if key not in SERVER_MADE}


def _without(obj: Object, *fields: str) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion", "kind", *fields)}
