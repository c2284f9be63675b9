"""The Node authorizer: what the agent of a node may do, beyond what RBAC grants to anybody.

An identity `system:node:NODE` of the group `system:nodes` reads only what its own Pods refer to, and lists Pods only by
`spec.nodeName`. What an object must look like for a node to write it, which the path of a request does not tell, is
judged by the admission plugin `noderestriction`. Rules: kubernetes, plugin/pkg/auth/authorizer/node (with
AuthorizeNodeWithSelectors). Unlike there, an agent may list all claims and volumes, which hold no secrets, because it
makes and removes the volumes of its node; and it plays virt-handler's part, whose role lets it read all VMIs.
Called by `authorization`.
"""

from collections.abc import Callable

from isthmus.engine.auth.bootstrappolicy import NODE
from isthmus.engine.auth.nodegraph import NodeGraph
from isthmus.engine.auth.references import ACCOUNTS, CONFIGMAPS, SECRETS
from isthmus.engine.auth.user import User, node_name
from isthmus.engine.store.store import Store
from isthmus.machinery import errors, fields, rbac

LEASE_NAMESPACE = "kube-node-lease"
READ = ("get", "list", "watch")
LEASES = "leases.coordination.k8s.io"


class NodeAuthorizer:
    """Allows, or has no opinion: then RBAC decides."""

    def __init__(self, store: Store) -> None:
        self.graph = NodeGraph(store)
        self._rules: dict[str, Callable[[str, rbac.Attributes], bool]] = {
            SECRETS: self._reads_related,
            CONFIGMAPS: self._reads_related,
            ACCOUNTS: self._requests_token,
            LEASES: self._keeps_lease,
            "nodes": self._keeps_node,
            "pods": self._runs_pod,
        }

    def allows(self, user: User, attributes: rbac.Attributes) -> bool:
        """Whether `user` is a node that may do this."""
        node = node_name(user)
        if not node:
            return False
        a = attributes
        rule = None if a.path else self._rules.get(f"{a.resource}.{a.group}".rstrip("."))
        return rule(node, a) if rule else rbac.allows(NODE, a)

    def _reads_related(self, node: str, a: rbac.Attributes) -> bool:
        """One object at a time, be it as a list or watch of that one name."""
        named = bool(a.name and a.namespace) and not a.subresource and a.verb in READ
        return named and self.graph.refers(node, a.resource, a.namespace, a.name)

    def _requests_token(self, node: str, a: rbac.Attributes) -> bool:
        asked = a.verb == "create" and a.subresource == "token" and bool(a.name)
        return asked and self.graph.refers(node, ACCOUNTS, a.namespace, a.name)

    def _keeps_lease(self, node: str, a: rbac.Attributes) -> bool:
        """The name of one that is created is admission's to look at."""
        if a.namespace != LEASE_NAMESPACE or a.subresource:
            return False
        return a.verb == "create" or (a.verb in ("get", "update", "patch", "delete") and a.name == node)

    def _keeps_node(self, node: str, a: rbac.Attributes) -> bool:
        """Reads itself only; whom it writes is admission's to look at."""
        if a.subresource == "status":
            return a.verb in ("update", "patch")
        if a.subresource:
            return False
        return a.verb in ("create", "update", "patch") or (a.verb in READ and a.name == node)

    def _runs_pod(self, node: str, a: rbac.Attributes) -> bool:
        """Reads its own; that it creates mirror Pods only and writes its own is admission's to look at."""
        match a.subresource, a.verb:
            case ("status", "update" | "patch") | ("eviction", "create") | ("", "create" | "delete"):
                return True
            case ("", "list" | "watch") if _selects_node(a.field_selector, node):
                return True
            case ("", "get" | "list" | "watch"):
                return bool(a.name) and self.graph.has_pod(node, a.namespace, a.name)
        return False


def _selects_node(selector: str, node: str) -> bool:
    try:
        return fields.parse(selector).exact("spec.nodeName") == node
    except errors.StatusError:
        return False
