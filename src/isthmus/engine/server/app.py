"""The chain that every request passes, read top to bottom: recover, understand, authenticate, authorise, dispatch.

Called by `protocol` with each request; calls `handlers`, `subresources`, `nonresource`.
"""

import logging
import time

import orjson

from isthmus.engine.auth import authentication
from isthmus.engine.auth.user import ANONYMOUS, User
from isthmus.engine.server import metrics, nonresource, requestinfo, reviews, subresources
from isthmus.engine.server.context import Call, Server
from isthmus.engine.server.handlers import create, delete, get, patch, update, watch
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.requestinfo import RequestInfo
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


class App:
    """The request handler of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, request: Request) -> Response | None:
        """Answer one request. Only StatusErrors are the client's business; anything else is logged and a 500."""
        started = time.perf_counter()
        info = requestinfo.parse(request)
        try:
            response = await self._serve(request, info)
        except errors.StatusError as error:
            response = refusal(error)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = refusal(errors.internal("the server's log has the details"))
        metrics.observe(info, response.status if response else 200, time.perf_counter() - started)
        return response

    async def _serve(self, request: Request, info: RequestInfo) -> Response | None:
        user = self._authenticate(request)
        user = self._impersonate(request, user)
        self._authorize(info, user)
        if not info.is_resource:
            return await nonresource.serve(self._server, request, info, user)
        served = self._server.registry.find(info.group, info.version, info.resource)
        if served is None:
            raise errors.path_not_found()
        call = Call(self._server, request, info, user, served)
        if info.subresource:
            return await subresources.serve(call)
        if info.verb not in served.kind.verbs:
            raise errors.method_not_allowed()
        if info.verb == "create" and (review := reviews.find(served.kind.resource)):
            return await review(call)
        return await VERBS[info.verb](call)

    def _authenticate(self, request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else nonresource.websocket_token(request)
        return self._server.authenticator.user(authentication.from_certificate(request.certificate), bearer)

    def _impersonate(self, request: Request, user: User) -> User:
        """`kubectl --as`: act as somebody else, if RBAC allows it for each name and group."""
        name = request.headers.get("impersonate-user")
        if not name:
            return user
        groups = [g.strip() for g in request.headers.get("impersonate-group", "").split(",") if g.strip()]
        wanted = [("users", name), *(("groups", g) for g in groups)]
        for resource, each in wanted:
            attributes = rbac.Attributes(verb="impersonate", resource=resource, name=each)
            if not self._server.authorizer.allows(user, attributes):
                raise forbidden(user, attributes)
        return User(name, (*groups, "system:authenticated") if name != ANONYMOUS.name else ANONYMOUS.groups)

    def _authorize(self, info: RequestInfo, user: User) -> None:
        if info.is_resource:
            attributes = rbac.Attributes(
                verb=info.verb,
                group=info.group,
                version=info.version,
                resource=info.resource,
                subresource=_rbac_subresource(info.subresource),
                namespace=info.namespace,
                name=info.name,
            )
        else:
            attributes = rbac.Attributes(verb=info.verb, path=info.path)
            if info.path in nonresource.PUBLIC:
                return
        if not self._server.authorizer.allows(user, attributes):
            raise errors.unauthorized() if user == ANONYMOUS else forbidden(user, attributes)


def _rbac_subresource(subresource: str) -> str:
    """KubeVirt authorises portforward/PORT/PROTOCOL as `portforward`."""
    return "portforward" if subresource.startswith("portforward/") else subresource


def forbidden(user: User, attributes: rbac.Attributes) -> errors.StatusError:
    """In kube-apiserver's words, which tell an administrator what to grant."""
    if attributes.path:
        message = f'forbidden: User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return errors.StatusError(403, "Forbidden", message)
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}" {scope}'
    return errors.forbidden(attributes.group, attributes.resource, attributes.name, why)


def refusal(error: errors.StatusError) -> Response:
    """An error as an answer."""
    headers = (("retry-after", str(error.retry_after)),) if error.retry_after is not None else ()
    return Response(orjson.dumps(error.status()), error.code, headers=headers)
