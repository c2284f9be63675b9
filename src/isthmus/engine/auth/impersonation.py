"""Acting as somebody else (`kubectl --as`), if RBAC allows it for every part of whom the request wants to be.

Headers and rules are kube-apiserver's (pkg/endpoints/filters/impersonation.go). Called by the server's chain after
authentication.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from isthmus.engine.auth import user as users
from isthmus.engine.auth.authorization import Authorizer, forbidden
from isthmus.engine.auth.user import ANONYMOUS, AUTHENTICATED, User
from isthmus.machinery import errors, rbac

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
AUTHENTICATION = "authentication.k8s.io"
SERVICE_ACCOUNT = "system:serviceaccount:"


def impersonate(headers: Mapping[str, str], user: User, authorizer: Authorizer) -> User:
    """The user to act as: `user` itself without such headers. Raises StatusError 403, or 400 for a UID of nobody."""
    name = headers.get(USER)
    if not name:
        if any(h.startswith("impersonate-") for h in headers):
            raise errors.bad_request(
                "groups, a UID or extra cannot be impersonated without a user: set Impersonate-User"
            )
        return user
    groups = tuple(g.strip() for g in headers.get(GROUP, "").split(",") if g.strip())
    uid, extra = headers.get(UID, ""), dict(_extra(headers))
    for attributes in _wanted(name, groups, uid, extra):
        if not authorizer.allows(user, attributes):
            raise forbidden(user, attributes)
    return User(name, _all_groups(name, groups), uid, extra)


def _extra(headers: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    for header, value in headers.items():
        if header.startswith(EXTRA):
            yield unquote(header.removeprefix(EXTRA)), [v.strip() for v in value.split(",")]


def _wanted(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]) -> Iterator[rbac.Attributes]:
    """What the request must be allowed to impersonate, one by one."""
    if account := _service_account(name):
        yield rbac.Attributes("impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield rbac.Attributes("impersonate", resource="users", name=name)
    for group in groups:
        yield rbac.Attributes("impersonate", resource="groups", name=group)
    if uid:
        yield rbac.Attributes("impersonate", AUTHENTICATION, "v1", "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield rbac.Attributes("impersonate", AUTHENTICATION, "v1", "userextras", key, name=value)


def _service_account(name: str) -> tuple[str, str] | None:
    namespace, colon, account = name.removeprefix(SERVICE_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(SERVICE_ACCOUNT) and colon and account else None


def _all_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that were named and those that everybody of that kind is in."""
    if name == ANONYMOUS.name:
        return (*groups, *(g for g in ANONYMOUS.groups if g not in groups))
    if (account := _service_account(name)) and not groups:
        return users.service_account_groups(account[0])
    return groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED)
