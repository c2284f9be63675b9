"""Nobody grants what they do not hold: the check of roles and bindings on their way into the store.

Rules and words are kube-apiserver's (pkg/registry/rbac/*/policybased; component-helpers, auth/rbac/validation).
A plugin of the registry's admission, made here because only this layer knows who may do what.
"""

from typing import Any

from isthmus.engine.auth.authorization import CLUSTER_ROLE_BINDINGS as CLUSTER_BINDINGS
from isthmus.engine.auth.authorization import CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES, Authorizer
from isthmus.engine.auth.user import MASTERS, User
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes, errors, rbac

Object = dict[str, Any]
HOUSEKEEPING = frozenset(("ownerReferences", "finalizers", "managedFields", "selfLink"))
FULL_AUTHORITY: list[Object] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def plugin(authorizer: Authorizer) -> Plugin:
    """The admission plugin."""

    def check(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
        user = User(context.user, context.groups)
        if MASTERS in context.groups:
            return
        if served.kind.plural in ("roles", "clusterroles"):
            _check_role(authorizer, served, new, old, user)
        else:
            _check_binding(authorizer, served, new, old, user, lookup)

    resources = frozenset((ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_BINDINGS))
    return Plugin("RBACEscalation", resources, validate=check)


def _check_role(authorizer: Authorizer, served: Served, new: Object, old: Object | None, user: User) -> None:
    if old is not None and _only_housekeeping(new, old):
        return
    namespace = new["metadata"].get("namespace", "")
    attributes = rbac.Attributes(
        "escalate", GROUP, "v1", served.kind.plural, namespace=namespace, name=new["metadata"]["name"]
    )
    if authorizer.allows(user, attributes):
        return
    _confirm(authorizer, served, new, user, namespace, new.get("rules") or [])
    if any(_aggregates(role) for role in (new, old)) and not rbac.covers(
        authorizer.rules(user, namespace), FULL_AUTHORITY
    ):
        raise _refusal(served, new, "must have cluster-admin privileges to use the aggregationRule")


def _aggregates(role: Object | None) -> bool:
    return bool(((role or {}).get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _only_housekeeping(new: Object, old: Object) -> bool:
    """Nothing but what the garbage collector must be able to change."""

    def rest(obj: Object) -> tuple[Object, Object]:
        return (
            {k: v for k, v in obj.items() if k != "metadata"},
            {k: v for k, v in obj["metadata"].items() if k not in HOUSEKEEPING},
        )

    return rest(new) == rest(old)


def _check_binding(
    authorizer: Authorizer, served: Served, new: Object, old: Object | None, user: User, lookup: Lookup
) -> None:
    if old is not None and _only_housekeeping(new, old):
        return
    namespace, reference = new["metadata"].get("namespace", ""), new["roleRef"]
    plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
    attributes = rbac.Attributes("bind", GROUP, "v1", plural, namespace=namespace, name=reference["name"])
    if authorizer.allows(user, attributes):
        return
    scope = "" if plural == "clusterroles" else namespace
    if lookup(f"{plural}.{GROUP}", scope, reference["name"]) is None:
        raise errors.not_found(GROUP, plural, reference["name"])
    _confirm(authorizer, served, new, user, namespace, authorizer.role_rules(reference, namespace))


def _confirm(
    authorizer: Authorizer, served: Served, new: Object, user: User, namespace: str, rules: list[Object]
) -> None:
    missing = rbac.uncovered(authorizer.rules(user, namespace), rules)
    if missing:
        groups = " ".join(causes.show(g) for g in user.groups)
        who = f"user {causes.show(user.name)} (groups=[{groups}])"
        listing = "\n".join(sorted({rbac.show_rule(rule) for rule in rbac.compact(missing)}))
        raise _refusal(served, new, f"{who} is attempting to grant RBAC permissions not currently held:\n{listing}")


def _refusal(served: Served, obj: Object, why: str) -> errors.StatusError:
    return errors.forbidden(served.kind.group, served.kind.plural, obj["metadata"]["name"], why)
