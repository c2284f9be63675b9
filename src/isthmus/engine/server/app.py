"""The chain that every request passes, read top to bottom: recover, understand, authenticate, authorise, dispatch.

Called by `protocol` with each request; calls the function that `dispatch` finds for it.
"""

import logging
import time

import orjson

from isthmus.engine.auth import authentication, impersonation
from isthmus.engine.auth.authorization import forbidden
from isthmus.engine.auth.user import ANONYMOUS, User
from isthmus.engine.server import bearerprotocol, compression, dispatch, metrics, nonresource, readable, requestinfo
from isthmus.engine.server.context import Call, Server
from isthmus.engine.server.handlers.body import warning_header
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.machinery import errors, rbac

log = logging.getLogger(__name__)


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
            response = await _fit(request, response)
        code = response.status if response else 200
        served = self._server.registry.find(info.group, info.version, info.resource) is not None
        metrics.observe(info, code, time.perf_counter() - started, served=served)
        return response

    async def _serve(self, request: Request, info: RequestInfo) -> Response | None:
        if info.is_resource:
            return await self._serve_resource(request, info, self._let_in(request, info))
        route, segments = dispatch.find_path(info.path)
        if route is None or not route.own_tokens:
            self._let_in(request, info)
        if route is None:
            raise errors.path_not_found()
        if request.method not in route.methods:
            raise errors.method_not_allowed()
        return await route.handler(self._server, request, *segments)

    async def _serve_resource(self, request: Request, info: RequestInfo, user: User) -> Response | None:
        served, handler = dispatch.find(self._server.registry, info)
        response = await handler(Call(self._server, request, info, user, served))
        if served.kind.deprecated_versions and response is not None and (old := served.kind.deprecation(info.version)):
            response.headers = (*response.headers, warning_header(old))
        return response

    def _let_in(self, request: Request, info: RequestInfo) -> User:
        """Who it is, or is to be taken for, and may do this. Raises StatusError 401, 403."""
        user = self._authenticate(request)
        user = impersonation.impersonate(request.headers, user, self._server.authorizer)
        self._authorize(request, info, user)
        return user

    def _authenticate(self, request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else bearerprotocol.token(request)
        if bearer:
            return self._server.tokens.user(bearer)
        connection = request.connection
        if connection.user is None:
            connection.user = authentication.from_certificate(request.certificate) or ANONYMOUS
        user: User = connection.user
        return user

    def _authorize(self, request: Request, info: RequestInfo, user: User) -> None:
        if info.is_resource:
            attributes = rbac.Attributes(
                info.verb,
                info.group,
                info.version,
                info.resource,
                _rbac_subresource(info.subresource),
                info.namespace,
                info.name,
                field_selector=request.query.get("fieldSelector", "") if info.verb in ("list", "watch") else "",
            )
        elif info.path in nonresource.PUBLIC:
            return
        else:
            attributes = rbac.Attributes(info.verb, path=info.path)
        if not self._server.authorizer.allows(user, attributes):
            raise errors.unauthorized() if user == ANONYMOUS else forbidden(user, attributes)


def _rbac_subresource(subresource: str) -> str:
    """KubeVirt authorises portforward/PORT/PROTOCOL as `portforward`."""
    return "portforward" if subresource.startswith("portforward/") else subresource


async def _fit(request: Request, response: Response) -> Response:
    """The response in the form and encoding that its client likes."""
    response = readable.shown(request, response)
    return response if len(response.body) < compression.MINIMUM else await compression.compress(request, response)


def refusal(error: errors.StatusError) -> Response:
    """An error as an answer."""
    headers = (("retry-after", str(error.retry_after)),) if error.retry_after is not None else ()
    return Response(orjson.dumps(error.status()), error.code, headers=headers)
