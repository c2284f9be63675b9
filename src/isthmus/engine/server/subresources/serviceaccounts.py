"""serviceaccounts/token: TokenRequest."""

import orjson

from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.subresources.handler import Table
from isthmus.machinery import errors

SHORTEST, LONGEST, USUAL = 600, 1 << 32, 3600  # seconds


async def token(call: Call) -> Response:
    """Issue a token for the service account."""
    row = call.server.store.get(call.key)
    if row is None:
        raise errors.not_found("", "serviceaccounts", call.info.name)
    request = body.read_any(call, call.write_context())
    spec = request.get("spec") or {}
    seconds = int(spec.get("expirationSeconds") or USUAL)
    if not SHORTEST <= seconds <= LONGEST:
        cause = errors.Cause(
            "spec.expirationSeconds", f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        )
        raise errors.invalid("authentication.k8s.io", "TokenRequest", call.info.name, [cause])
    tokens = call.server.authenticator.tokens
    status = tokens.issue(row.decode(), seconds, spec.get("audiences") or [], spec.get("boundObjectRef"))
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.info.name, "namespace": call.info.namespace},
        "spec": spec | {"expirationSeconds": seconds},
        "status": status,
    }
    return Response(orjson.dumps(answer), 201)


TABLE: Table = {("serviceaccounts", "token"): {"create": token}}
