"""May this user do this? The Node authorizer, then RBAC by the objects of rbac.authorization.k8s.io as they change.

RBAC's decisions are remembered until a role or binding changes, so that a busy client costs one dictionary look-up a
request.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from isthmus.engine.auth.nodeauthorizer import NodeAuthorizer
from isthmus.engine.auth.user import MASTERS, User
from isthmus.engine.store.row import Row
from isthmus.engine.store.store import Store
from isthmus.machinery import errors, rbac

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES = f"roles.{GROUP}", f"clusterroles.{GROUP}"
ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS = f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}"
CACHE_LIMIT = 20_000
KEY_LIMIT = 1000  # characters of a question that is remembered: anybody may ask for a path of 64 KiB
ANY_NAME = "*/*"  # no object is called that
EVERY_NAME = frozenset((ANY_NAME,))


class Authorizer:
    """Answers from memory; rebuilt lazily after a change of any of the four kinds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.nodes = NodeAuthorizer(store)
        self._decisions: dict[tuple[User, str, str, str, str, str, str], frozenset[str]] = {}
        self._bindings: dict[str, list[Object]] | None = None
        self._rules: dict[tuple[str, str, str], list[Object]] = {}
        for resource in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            store.subscribe(resource, self._forget)

    def _forget(self, _rows: Sequence[Row]) -> None:
        self._decisions.clear()
        self._rules.clear()
        self._bindings = None

    def allows(self, user: User, attributes: rbac.Attributes) -> bool:
        """Whether `user` is a node that may do this, or any binding gives them a rule that covers `attributes`."""
        if MASTERS in user.groups or self.nodes.allows(user, attributes):
            return True
        a = attributes
        key = (user, a.verb, a.group, a.resource, a.subresource, a.namespace, a.path)
        if (names := self._decisions.get(key)) is None:
            names = self._allowed_names(user, attributes)
            if sum(map(len, key[1:]), len(user.name)) <= KEY_LIMIT:
                if len(self._decisions) >= CACHE_LIMIT:
                    self._decisions.clear()
                self._decisions[key] = names
        return ANY_NAME in names or attributes.name in names

    def _allowed_names(self, user: User, attributes: rbac.Attributes) -> frozenset[str]:
        """The names of the objects that `user` may do this to: one decision serves every object of a kind."""
        names: set[str] = set()
        for rules in self._rules_for(user, attributes.namespace):
            for rule in rules:
                if rbac.allows([{**rule, "resourceNames": None}], attributes):
                    if attributes.path or not rule.get("resourceNames"):
                        return EVERY_NAME
                    names.update(rule["resourceNames"])
        return frozenset(names)

    def rules(self, user: User, namespace: str) -> list[Object]:
        """Every rule that holds for `user` in `namespace`, cluster-wide ones included."""
        if MASTERS in user.groups:
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return [everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
        return [rule for rules in self._rules_for(user, namespace) for rule in rules]

    def _rules_for(self, user: User, namespace: str) -> Iterator[list[Object]]:
        bindings = self._index()
        for scope in {"", namespace}:
            for binding in bindings.get(scope, ()):
                if any(_is_subject(s, user, scope) for s in binding.get("subjects") or ()):
                    yield self.role_rules(binding["roleRef"], scope)

    def _index(self) -> dict[str, list[Object]]:
        """Bindings by namespace, the cluster's under ""."""
        if self._bindings is None:
            self._bindings = {}
            for resource in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
                for (namespace, _), row in self._store.table(resource).rows.items():
                    self._bindings.setdefault(namespace, []).append(row.decode())
        return self._bindings

    def role_rules(self, reference: Object, namespace: str) -> list[Object]:
        """What a binding's roleRef grants; nothing if there is no such role."""
        resource = CLUSTER_ROLES if reference["kind"] == "ClusterRole" else ROLES
        key = (resource, "" if resource == CLUSTER_ROLES else namespace, reference["name"])
        if (rules := self._rules.get(key)) is None:
            row = self._store.get(key)
            role = row.decode() if row else {}
            rules = self._rules[key] = (
                rbac.aggregate(role, self._cluster_roles())
                if role.get("aggregationRule")
                else (role.get("rules") or [])
            )
        return rules

    def _cluster_roles(self) -> Iterator[Object]:
        return (row.decode() for row in self._store.table(CLUSTER_ROLES).rows.values())


def _is_subject(subject: Object, user: User, binding_namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            namespace = subject.get("namespace") or binding_namespace
            return user.name == f"system:serviceaccount:{namespace}:{subject['name']}"
    return False


def forbidden(user: User, attributes: rbac.Attributes) -> errors.StatusError:
    """In kube-apiserver's words, which tell an administrator what to grant."""
    if attributes.path:
        message = f'forbidden: User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return errors.StatusError(403, "Forbidden", message)
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}" {scope}'
    return errors.forbidden(attributes.group, attributes.resource, attributes.name, why)
