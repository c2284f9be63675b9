"""serviceaccounts/token: TokenRequest."""

from typing import Any

import orjson

from isthmus.engine.auth import noderestriction
from isthmus.engine.auth.tokens import BOUND
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Table
from isthmus.machinery import causes, errors

Object = dict[str, Any]
SHORTEST, LONGEST, USUAL = 600, 1 << 32, 3600  # seconds


async def token(call: Call) -> Response:
    """Issue a token for the service account."""
    account = call.row().decode()
    request = body.read_as(call, call.write_context(), "authentication.k8s.io/v1", "TokenRequest")
    spec = request.get("spec") or {}
    seconds = int(spec.get("expirationSeconds") or USUAL)
    wrong = [_duration(seconds)] if not SHORTEST <= seconds <= LONGEST else []
    bound = _bound(call, spec.get("boundObjectRef"), wrong)
    _restrict_nodes(call, spec.get("boundObjectRef") or {})
    if wrong:
        raise errors.invalid("authentication.k8s.io", "TokenRequest", call.info.name, wrong)
    tokens = call.server.tokens
    status = tokens.issue(account, seconds, spec.get("audiences") or [], bound)
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.info.name, "namespace": call.info.namespace},
        "spec": spec | {"expirationSeconds": seconds},
        "status": status,
    }
    return Response(orjson.dumps(answer), 201)


def _restrict_nodes(call: Call, reference: Object) -> None:
    """The agent of a node gets tokens for its own Pods. Raises StatusError 403."""
    pod = None
    if reference.get("kind") == "Pod" and reference.get("name"):
        pod = call.server.storage.lookup("pods", call.info.namespace, reference["name"])
    if why := noderestriction.check_token(call.user, pod, reference.get("uid") or ""):
        raise errors.forbidden("", "serviceaccounts", call.info.name, why)


def _duration(seconds: int) -> errors.Cause:
    limit = "less than 10 minutes" if seconds < SHORTEST else "larger than 2^32 seconds"
    return causes.invalid("spec.expirationSeconds", seconds, f"may not specify a duration {limit}")


def _bound(call: Call, reference: Object | None, wrong: list[errors.Cause]) -> Object | None:
    """The object that the token is to stand and fall with. Raises StatusError 404, 409 for another uid."""
    if not reference:
        return None
    kind, name = reference.get("kind", ""), reference.get("name", "")
    resource = BOUND.get(kind.lower())
    if resource is None:
        wrong.append(causes.not_supported("spec.boundObjectRef.kind", kind, ("Node", "Pod", "Secret")))
        return None
    found = call.server.storage.lookup(resource, "" if resource == "nodes" else call.info.namespace, name)
    if found is None:
        raise errors.not_found("", resource, name)
    uid = found["metadata"]["uid"]
    if reference.get("uid") not in (None, "", uid):
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
        raise errors.conflict("", resource, name, why)
    return {"kind": kind, "name": name, "uid": uid}


TABLE: Table = {("serviceaccounts", "token"): {"create": token}}
