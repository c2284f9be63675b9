"""The chain that every request passes, read top to bottom: recover, understand, authenticate, authorise, dispatch.

Called by `protocol` with each request; calls `handlers`, `subresources`, `nonresource`.
"""

import logging
import time

import orjson

from isthmus.engine.auth import authentication, impersonation
from isthmus.engine.auth.authorization import forbidden
from isthmus.engine.auth.user import ANONYMOUS, User
from isthmus.engine.registry.registry import Served
from isthmus.engine.server import (
    compression,
    metrics,
    nonresource,
    readable,
    requestinfo,
    reviews,
    subresources,
    upload,
)
from isthmus.engine.server.context import Call, Server
from isthmus.engine.server.handlers import create, delete, get, patch, update, watch
from isthmus.engine.server.handlers.body import warning_header
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.engine.server.subresources import pods
from isthmus.machinery import errors, rbac

log = logging.getLogger(__name__)

VERBS = {
    "get": get.get,
    "list": get.list_,
    "watch": watch.watch,
    "create": create.create,
    "update": update.update,
    "patch": patch.patch,
    "delete": delete.delete,
    "deletecollection": delete.deletecollection,
}
CREATES = {"bindings": pods.bindings}  # what is stored under another name than it is sent to
NAMED = {"create": False, "update": True, "patch": True}  # whether the path names the object, which RBAC looks at


class App:
    """The request handler of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, request: Request) -> Response | None:
        """Answer one request. Only StatusErrors are the client's business; anything else is logged and a 500."""
        started = time.perf_counter()
        info = requestinfo.UNKNOWN
        try:
            info = requestinfo.parse(request)
            response = await self._serve(request, info)
        except errors.StatusError as error:
            response = refusal(error)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = refusal(errors.internal("the server's log has the details"))
        if response is not None:
            if request.connection.answered:  # by half of a stream: the client must see that it was cut short
                request.connection.transport.abort()
                return None
            response = readable.shown(request, response)
            if len(response.body) >= compression.MINIMUM:
                response = await compression.compress(request, response)
        code = response.status if response else 200
        served = self._server.registry.find(info.group, info.version, info.resource) is not None
        metrics.observe(info, code, time.perf_counter() - started, served=served)
        return response

    async def _serve(self, request: Request, info: RequestInfo) -> Response | None:
        if upload.serves(request):  # by a token of its own kind
            return await upload.serve(self._server, request)
        user = self._authenticate(request)
        user = impersonation.impersonate(request.headers, user, self._server.authorizer)
        self._authorize(info, user)
        if not info.is_resource:
            return await nonresource.serve(self._server, request, info)
        served = self._server.registry.find(info.group, info.version, info.resource)
        if served is None:
            return await subresources.serve_namespace(self._server, request, info, user)
        if not _is_in_scope(served, info):
            raise errors.path_not_found()
        call = Call(self._server, request, info, user, served)
        response = await _dispatch(call)
        if served.kind.deprecated_versions and response is not None and (old := served.kind.deprecation(info.version)):
            response.headers = (*response.headers, warning_header(old))
        return response

    def _authenticate(self, request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else nonresource.websocket_token(request)
        if bearer:
            return self._server.tokens.user(bearer)
        connection = request.connection
        if connection.user is None:
            connection.user = authentication.from_certificate(request.certificate) or ANONYMOUS
        user: User = connection.user
        return user

    def _authorize(self, info: RequestInfo, user: User) -> None:
        if info.is_resource:
            attributes = rbac.Attributes(
                info.verb,
                info.group,
                info.version,
                info.resource,
                _rbac_subresource(info.subresource),
                info.namespace,
                info.name,
            )
        elif info.path in nonresource.PUBLIC:
            return
        else:
            attributes = rbac.Attributes(info.verb, path=info.path)
        if not self._server.authorizer.allows(user, attributes):
            raise errors.unauthorized() if user == ANONYMOUS else forbidden(user, attributes)


async def _dispatch(call: Call) -> Response | None:
    if call.info.subresource:
        return await subresources.serve(call)
    verb, named = call.info.verb, bool(call.info.name)
    if verb not in call.served.kind.verbs or NAMED.get(verb, named) != named:
        raise errors.method_not_allowed()
    resource = call.served.kind.resource
    if verb == "create" and (special := CREATES.get(resource) or reviews.find(resource)):
        return await special(call)
    return await VERBS[verb](call)


def _is_in_scope(served: Served, info: RequestInfo) -> bool:
    """Whether a path names a namespace only where the kind has one: what a role allows in a namespace ends there.

    A Namespace itself lies in its own (RequestInfo), so that roles of a namespace can be about it.
    """
    if served.kind.namespaced or not info.namespace:
        return True
    return served.kind.resource == "namespaces" and info.namespace == info.name


def _rbac_subresource(subresource: str) -> str:
    """KubeVirt authorises portforward/PORT/PROTOCOL as `portforward`."""
    return "portforward" if subresource.startswith("portforward/") else subresource


def refusal(error: errors.StatusError) -> Response:
    """An error as an answer."""
    headers = (("retry-after", str(error.retry_after)),) if error.retry_after is not None else ()
    return Response(orjson.dumps(error.status()), error.code, headers=headers)
