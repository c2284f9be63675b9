"""Kinds that are answered and never stored: access reviews, token reviews, who am I, tokens for uploads."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from isthmus.engine.auth.user import User
from isthmus.engine.server import upload
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.machinery import errors, rbac

Object = dict[str, Any]
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


def _attributes(spec: Object, namespace: str = "") -> rbac.Attributes:
    if resource := spec.get("resourceAttributes"):
        return rbac.Attributes(
            verb=resource.get("verb", ""),
            group=resource.get("group", ""),
            version=resource.get("version", ""),
            resource=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            namespace=namespace or resource.get("namespace", ""),
            name=resource.get("name", ""),
        )
    if path := spec.get("nonResourceAttributes"):
        return rbac.Attributes(verb=path.get("verb", ""), path=path.get("path", ""))
    raise errors.bad_request("spec: exactly one of resourceAttributes or nonResourceAttributes must be given")


def _decision(call: Call, user: User, attributes: rbac.Attributes) -> Object:
    allowed = call.server.authorizer.allows(user, attributes)
    return {"allowed": allowed}


def _self_access(call: Call, review: Object) -> Object:
    return _decision(call, call.user, _attributes(review.get("spec") or {}))


def _subject_access(call: Call, review: Object) -> Object:
    spec = review.get("spec") or {}
    namespace = call.info.namespace if call.served.kind.namespaced else ""
    user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
    return _decision(call, user, _attributes(spec, namespace))


def _self_rules(call: Call, review: Object) -> Object:
    rules = call.server.authorizer.rules(call.user, (review.get("spec") or {}).get("namespace", ""))
    return {
        "resourceRules": [r for r in rules if "resources" in r],
        "nonResourceRules": [r for r in rules if "nonResourceURLs" in r],
        "incomplete": False,
    }


def _user_info(user: User) -> Object:
    info: Object = {"username": user.name, "groups": list(user.groups)}
    return info | ({"uid": user.uid} if user.uid else {}) | ({"extra": user.extra} if user.extra else {})


def _self_subject(call: Call, _review: Object) -> Object:
    return {"userInfo": _user_info(call.user)}


def _token(call: Call, review: Object) -> Object:
    spec = review.get("spec") or {}
    try:
        user = call.server.tokens.user(spec.get("token", ""), *(spec.get("audiences") or [])[:1])
    except errors.StatusError:
        return {
            "authenticated": False,
            "user": {},
            "error": "the token is not one of ours, expired, or its account is gone",
        }
    return {"authenticated": True, "user": _user_info(user), "audiences": spec.get("audiences") or []}


REVIEWS: dict[str, Callable[[Call, Object], Object]] = {
    f"selfsubjectaccessreviews.{AUTHORIZATION}": _self_access,
    f"subjectaccessreviews.{AUTHORIZATION}": _subject_access,
    f"localsubjectaccessreviews.{AUTHORIZATION}": _subject_access,
    f"selfsubjectrulesreviews.{AUTHORIZATION}": _self_rules,
    f"selfsubjectreviews.{AUTHENTICATION}": _self_subject,
    f"tokenreviews.{AUTHENTICATION}": _token,
    upload.TOKEN_REQUESTS: upload.issue,
}


def find(resource: str) -> Callable[[Call], Awaitable[Response]] | None:
    """The handler of a review kind; None for kinds that are stored."""
    review = REVIEWS.get(resource)
    if review is None:
        return None

    async def answer(call: Call) -> Response:
        obj = body.read_any(call, call.write_context())
        kind = call.served.kind
        head = {"kind": kind.kind, "apiVersion": kind.api_version(call.info.version)}
        answered = head | {"metadata": obj.get("metadata") or {}, "spec": obj.get("spec") or {}}
        return Response(orjson.dumps(answered | {"status": review(call, obj)}), 201)

    return answer
