"""Kinds that are answered and never stored: access reviews, token reviews, who am I, tokens for uploads."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from isthmus.engine.auth.tokens import ISSUER
from isthmus.engine.auth.user import User
from isthmus.engine.server import uploadtokens
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Handler, Table
from isthmus.machinery import causes, errors, rbac

Object = dict[str, Any]
Review = Callable[[Call, Object], Object]  # (call, what is asked) -> its status
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


def _attributes(spec: Object) -> rbac.Attributes:
    """What is asked about."""
    if (resource := spec.get("resourceAttributes")) is not None:
        return rbac.Attributes(
            verb=resource.get("verb", ""),
            group=resource.get("group", ""),
            version=resource.get("version", ""),
            resource=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            namespace=resource.get("namespace", ""),
            name=resource.get("name", ""),
        )
    path = spec["nonResourceAttributes"]
    return rbac.Attributes(verb=path.get("verb", ""), path=path.get("path", ""))


def _check_question(call: Call, review: Object, more: Iterable[errors.Cause] = ()) -> None:
    """Refuse what makes no sense (pkg/apis/authorization/validation). Raises StatusError 422."""
    spec, local, wrong = review["spec"], call.served.kind.namespaced, list(more)
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        wrong.append(causes.invalid("spec.nonResourceAttributes", path, why))
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        wrong.append(causes.invalid("spec.resourceAttributes", None, why))
    told = {name for name, value in review["metadata"].items() if value not in (None, "", 0, [], {})}
    if told - ({"managedFields", "namespace"} if local else {"managedFields"}):
        why = "must be empty except for namespace" if local else "must be empty"
        wrong.append(causes.invalid("metadata", review["metadata"], why))
    if wrong:
        raise errors.invalid(AUTHORIZATION, call.served.kind.kind, "", wrong)


def _self_access(call: Call, review: Object) -> Object:
    _check_question(call, review)
    return {"allowed": call.server.authorizer.allows(call.user, _attributes(review["spec"]))}


def _subject_access(call: Call, review: Object) -> Object:
    spec = review["spec"]
    user, wrong = User(spec.get("user", ""), tuple(spec.get("groups") or ())), []
    if not (user.name or user.groups):
        wrong.append(causes.invalid("spec.user", "", "at least one of user or group must be specified"))
    if call.served.kind.namespaced:
        wrong += _beyond_namespace(spec, call.info.namespace)
    _check_question(call, review, wrong)
    return {"allowed": call.server.authorizer.allows(user, _attributes(spec))}


def _beyond_namespace(spec: Object, namespace: str) -> Iterator[errors.Cause]:
    """Who may ask a LocalSubjectAccessReview may ask about that namespace alone."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and (asked := resource.get("namespace", "")) != namespace:
        yield causes.invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace")
    if path is not None:
        yield causes.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request")


def _self_rules(call: Call, review: Object) -> Object:
    if not (namespace := review["spec"].get("namespace", "")):
        raise errors.bad_request("no namespace on request")
    rules = call.server.authorizer.rules(call.user, namespace)
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
    spec, tokens = review["spec"], call.server.tokens
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


def _answered(review: Review) -> Handler:
    """The function of a review kind: nothing is stored, the object comes back with its status."""

    async def answer(call: Call) -> Response:
        kind, api_version = call.served.kind, call.served.kind.api_version(call.info.version)
        obj = body.read_as(call, call.write_context(), api_version, kind.kind)
        body.check_kind(call, obj)
        asked: Object = {"kind": kind.kind, "apiVersion": api_version}
        for part in ("metadata", "spec"):
            asked[part] = obj.get(part) or {}
            if not isinstance(asked[part], dict):
                raise errors.bad_request(f"{part}: must be an object")
        body.fit_namespace(call, asked["metadata"])
        return Response(orjson.dumps(asked | {"status": review(call, asked)}), 201)

    return answer


REVIEWS: dict[str, Review] = {
    f"selfsubjectaccessreviews.{AUTHORIZATION}": _self_access,
    f"subjectaccessreviews.{AUTHORIZATION}": _subject_access,
    f"localsubjectaccessreviews.{AUTHORIZATION}": _subject_access,
    f"selfsubjectrulesreviews.{AUTHORIZATION}": _self_rules,
    f"selfsubjectreviews.{AUTHENTICATION}": _self_subject,
    f"tokenreviews.{AUTHENTICATION}": _token,
    uploadtokens.REQUESTS: uploadtokens.issue,
}
TABLE: Table = {(resource, ""): {"create": _answered(review)} for resource, review in REVIEWS.items()}
