"""A user as authentication knows one (authentication.k8s.io UserInfo)."""

from dataclasses import dataclass, field

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
NODES, NODE_PREFIX = "system:nodes", "system:node:"


@dataclass(frozen=True, slots=True)
class User:
    """Name and groups decide everything; `uid` and `extra` are only reported."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict, compare=False)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def service_account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of a service account."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)


def node_name(user: User) -> str:
    """The node that `user` is the agent of; "" for others, and for who is only half of one.

    The group and the name must say so, as in kubernetes, pkg/auth/nodeidentifier.
    """
    if NODES in user.groups and user.name.startswith(NODE_PREFIX):
        return user.name.removeprefix(NODE_PREFIX)
    return ""
