"""Subresources: a table from (resource, subresource, verb) to a function; status and scale serve every kind.

Called by `app`; a row's function takes a `Call` like any verb's handler.
"""

from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import get, patch, update
from isthmus.engine.server.message import Response
from isthmus.engine.server.subresources import kubevirt, namespaces, pods, scale, serviceaccounts
from isthmus.engine.server.subresources.handler import Handler, Table
from isthmus.machinery import errors

STATUS: dict[str, Handler] = {"get": get.get, "update": update.update, "patch": patch.patch}
TABLE: Table = {
    **namespaces.TABLE,
    **pods.TABLE,
    **serviceaccounts.TABLE,
    **kubevirt.TABLE,
}


async def serve(call: Call) -> Response | None:
    """Find and run the function of a subresource request. Raises StatusError 404, 405."""
    resource, subresource = call.served.kind.resource, call.info.subresource
    if subresource == "status" and call.served.kind.status:
        verbs: dict[str, Handler] | None = STATUS
    elif subresource == "scale" and call.served.kind.scale:
        verbs = scale.VERBS
    else:
        verbs = TABLE.get((resource, subresource)) or TABLE.get((resource, subresource.partition("/")[0] + "/*"))
    if verbs is None:
        raise errors.path_not_found()
    handler = verbs.get(call.info.verb) or verbs.get("*")
    if handler is None:
        raise errors.method_not_allowed()
    return await handler(call)
