"""Subresources: a table from (resource, subresource, verb) to a function; status and scale serve every kind.

Called by `app`; a row's function takes a `Call` like any verb's handler.
"""

from isthmus.engine.auth.user import User
from isthmus.engine.server.context import Call, Server
from isthmus.engine.server.handlers import get, patch, update
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.engine.server.subresources import (
    certificatesigningrequests,
    namespaces,
    pods,
    scale,
    serviceaccounts,
    shared,
    virtualmachineinstances,
    virtualmachines,
)
from isthmus.engine.server.subresources.handler import Handler, Table
from isthmus.machinery import errors

NOT_HERE = "the nodes of this platform do not do that"
_NO_SHELL = "this pod is a virtual machine or a worker, there is no container to enter: see `virtctl console` and `ssh`"
_NO_PORT = "ports of a virtual machine are forwarded by `virtctl port-forward`"
# What discovery lists, as clients expect it, and no node here can do: (resource, subresource) -> what to do instead.
UNSERVED = {
    ("pods", "exec"): _NO_SHELL,
    ("pods", "attach"): _NO_SHELL,
    ("pods", "ephemeralcontainers"): _NO_SHELL,
    ("pods", "portforward"): _NO_PORT,
}
EXPAND = "expand-vm-spec"
STATUS: dict[str, Handler] = {"get": get.get, "update": update.update, "patch": patch.patch}
TABLE: Table = {
    **certificatesigningrequests.TABLE,
    **namespaces.TABLE,
    **pods.TABLE,
    **serviceaccounts.TABLE,
    **virtualmachines.TABLE,
    **virtualmachineinstances.TABLE,
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
        if any(s.name == subresource for s in call.served.kind.subresources):
            raise errors.method_not_allowed(UNSERVED.get((resource, subresource), NOT_HERE))
        raise errors.path_not_found()
    handler = verbs.get(call.info.verb) or verbs.get("*")
    if handler is None:
        raise errors.method_not_allowed()
    return await handler(call)


async def serve_namespace(server: Server, request: Request, info: RequestInfo, user: User) -> Response | None:
    """Acts on a whole namespace that are no resource: `expand-vm-spec`. Raises StatusError 404, 405."""
    served = server.registry.by_resource(shared.VM_ACTS)
    if (info.group, info.resource, info.name) != (shared.SUBRESOURCES, EXPAND, "") or served is None:
        raise errors.path_not_found()
    if info.verb != "update":
        raise errors.method_not_allowed()
    return await virtualmachines.expand_given(Call(server, request, info, user, served))
