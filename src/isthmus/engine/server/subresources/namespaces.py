"""namespaces/finalize: the namespace controller takes its finalizer out of `spec.finalizers`."""

from typing import Any

from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Table

Object = dict[str, Any]


async def finalize(call: Call) -> Response:
    """Replace `spec.finalizers`; a namespace under deletion whose last finalizer goes is gone."""
    context = call.write_context()
    wanted = (body.read_object(call, context).get("spec") or {}).get("finalizers") or []
    change = lambda old: old | {"spec": {**(old.get("spec") or {}), "finalizers": wanted}}  # noqa: E731
    return Response(await call.server.storage.update(call.served, call.key, change, context))


TABLE: Table = {("namespaces", "finalize"): {"update": finalize}}
