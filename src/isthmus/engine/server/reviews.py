"""Kinds that are answered and never stored: access reviews, token reviews, who am I, tokens for uploads."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from isthmus.engine.auth.tokens import ISSUER
from isthmus.engine.auth.user import User
from isthmus.engine.server import upload
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.machinery import causes, errors, rbac

Object = dict[str, Any]
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


def _attributes(spec: Object, wrong: list[errors.Cause], namespace: str = "") -> rbac.Attributes:
    """What is asked about; what is wrong with the question is added to `wrong`."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        wrong.append(causes.invalid("spec.nonResourceAttributes", path, why))
    if resource is not None:
        return rbac.Attributes(
            verb=resource.get("verb", ""),
            group=resource.get("group", ""),
            version=resource.get("version", ""),
            resource=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            namespace=namespace or resource.get("namespace", ""),
            name=resource.get("name", ""),
        )
    if path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        wrong.append(causes.invalid("spec.resourceAttributes", None, why))
        path = {}
    return rbac.Attributes(verb=path.get("verb", ""), path=path.get("path", ""))


def _decision(call: Call, user: User, attributes: rbac.Attributes, wrong: list[errors.Cause]) -> Object:
    if wrong:
        raise errors.invalid(AUTHORIZATION, call.served.kind.kind, "", wrong)
    return {"allowed": call.server.authorizer.allows(user, attributes)}


def _self_access(call: Call, review: Object) -> Object:
    wrong: list[errors.Cause] = []
    return _decision(call, call.user, _attributes(review.get("spec") or {}, wrong), wrong)


def _subject_access(call: Call, review: Object) -> Object:
    spec = review.get("spec") or {}
    namespace = call.info.namespace if call.served.kind.namespaced else ""
    user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
    wrong: list[errors.Cause] = []
    attributes = _attributes(spec, wrong, namespace)
    if not (user.name or user.groups):
        wrong.append(causes.invalid("spec.user", "", "at least one of user or group must be specified"))
    return _decision(call, user, attributes, wrong)


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
    """Whose token it is, and for which of the audiences that the asker is one of it was issued."""
    spec, tokens = review.get("spec") or {}, call.server.tokens
    token, audiences = spec.get("token", ""), spec.get("audiences") or [ISSUER]
    if not token:
        raise errors.bad_request("token is required for TokenReview in authentication")
    try:
        user = tokens.user(token, audiences)
    except errors.StatusError:
        return {
            "authenticated": False,
            "user": {},
            "error": "the token is not one of ours, expired, for another audience, or its account is gone",
        }
    return {"authenticated": True, "user": _user_info(user), "audiences": tokens.audiences(token, audiences)}


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
        kind = call.served.kind
        obj = body.read_as(call, call.write_context(), kind.api_version(call.info.version), kind.kind)
        body.check_kind(call, obj)
        if not isinstance(obj.get("spec") or {}, dict):
            raise errors.bad_request("spec: must be an object")
        head = {"kind": kind.kind, "apiVersion": kind.api_version(call.info.version)}
        answered = head | {"metadata": obj.get("metadata") or {}, "spec": obj.get("spec") or {}}
        return Response(orjson.dumps(answered | {"status": review(call, obj)}), 201)

    return answer
