"""Paths outside the resources: health, version, metrics, discovery, OpenAPI. A table of exact paths and prefixes."""

import base64
import binascii
import hashlib
import platform
from collections.abc import Callable

import orjson

from isthmus.engine.server import metrics, openapi, requestinfo
from isthmus.engine.server.context import Server
from isthmus.engine.server.message import TEXT, Request, Response
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.machinery import accept, discovery, errors, jsonvalue

PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
KUBERNETES_VERSION = "v1.36.0"
KUBEVIRT_VERSION = "v1.9.0"
Check = Callable[[Server], bool]
TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105  (a protocol's name)


def websocket_token(request: Request) -> str | None:
    """The bearer token that a browser can only send as an offered WebSocket subprotocol."""
    for offered in request.headers.get("sec-websocket-protocol", "").split(","):
        if offered.strip().startswith(TOKEN_PROTOCOL):
            encoded = offered.strip().removeprefix(TOKEN_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (ValueError, binascii.Error) as error:
                raise errors.unauthorized() from error
    return None


async def serve(server: Server, request: Request, info: RequestInfo) -> Response | None:
    """Answer a request that is about no resource. Raises StatusError 404."""
    path = info.path.rstrip("/") or "/"
    if request.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed()
    if exact := EXACT.get(path):
        return exact(server, request)
    parts = path.strip("/").split("/")
    if parts[0] in HEALTH:
        return _health(server, request, parts[0], "/".join(parts[1:]))
    if len(parts) == 4 and parts[1] == requestinfo.SUBRESOURCE_GROUP:
        return _kubevirt(server, request, parts[3])
    if parts[0] in ("api", "apis"):
        return _group_discovery(server, request, parts)
    if parts[0] == "openapi":
        return await openapi.serve(server, request, path)
    raise errors.path_not_found()


def version_info(git_version: str) -> bytes:
    """`version.Info`, as kubectl and virtctl read it."""
    major, minor, _ = git_version.lstrip("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    info = {
        "major": major,
        "minor": minor,
        "gitVersion": git_version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": f"linux/{machine}",
    }
    return orjson.dumps(info)


def _healthz(_server: Server, _request: Request) -> Response:
    return Response(b"ok", content_type=TEXT)


def _health(server: Server, request: Request, endpoint: str, name: str = "") -> Response:
    """All checks of an endpoint, or the one of that name; a line for each if that is asked for or one fails."""
    checks = {check: works(server) for check, works in HEALTH[endpoint].items()}
    if name:
        if name not in checks:
            raise errors.path_not_found()
        checks = {name: checks[name]}
    excluded = request.all("exclude")
    passed = all(works for check, works in checks.items() if check not in excluded)
    if passed and "verbose" not in request.query:
        return _healthz(server, request)
    lines = [
        f"[+]{check} excluded: ok" if check in excluded
        else f"[+]{check} ok" if works
        else f"[-]{check} failed: reason withheld"
        for check, works in checks.items()
    ]  # fmt: skip
    lines.append(f"{endpoint} check {'passed' if passed else 'failed'}\n")
    return Response("\n".join(lines).encode(), 200 if passed else 500, TEXT)


def _version(_server: Server, _request: Request) -> Response:
    return Response(version_info(KUBERNETES_VERSION))


def _kubevirt(server: Server, request: Request, name: str) -> Response:
    """version, healthz and guestfs of subresources.kubevirt.io, which `virtctl` asks."""
    if name == "version":
        return Response(version_info(KUBEVIRT_VERSION))
    if name == "guestfs":
        return Response(orjson.dumps({"registry": "quay.io/kubevirt", "tag": KUBEVIRT_VERSION, "imagePrefix": ""}))
    return _healthz(server, request)


def _metrics(_server: Server, _request: Request) -> Response:
    return Response(metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _document(server: Server, name: str, make: Callable[[], object]) -> bytes:
    """A document made from the kinds, kept until they change."""
    known = server.derived.get(name)
    if known is None or known[0] != server.registry.generation:
        made = make()
        known = (server.registry.generation, made if isinstance(made, bytes) else jsonvalue.encode_to_keep(made))
        server.derived[name] = known
    return known[1]


def _with_etag(request: Request, body: bytes, content_type: str) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = (("etag", etag), ("vary", "Accept"), ("cache-control", "public"))
    if request.headers.get("if-none-match") == etag:
        return Response(b"", 304, content_type, headers)
    return Response(body, 200, content_type, headers)


def _root(server: Server, _request: Request) -> Response:
    paths = [*EXACT, *(f"/{name}" for name in HEALTH), "/api/v1", openapi.V2, openapi.V3_INDEX]
    groups = discovery.group_list(server.registry.kinds())["groups"]
    paths += [f"/apis/{g['name']}" for g in groups]
    paths += [f"/apis/{v['groupVersion']}" for g in groups for v in g["versions"]]
    return Response(orjson.dumps({"paths": sorted(set(paths) - {"/"})}))


def _api(server: Server, request: Request) -> Response:
    return _discovery_root(server, request, "api", lambda: discovery.api_versions(server.address))


def _apis(server: Server, request: Request) -> Response:
    return _discovery_root(server, request, "apis", lambda: discovery.group_list(server.registry.kinds()))


def _discovery_root(server: Server, request: Request, root: str, legacy: Callable[[], object]) -> Response:
    """Aggregated discovery for who asks for it, the plain list otherwise."""
    media = accept.negotiate(request.headers.get("accept", ""), forms=accept.DISCOVERY_FORMS)
    if media.form != "APIGroupDiscoveryList":
        return _with_etag(request, _document(server, f"/{root}", legacy), "application/json")
    make = lambda: discovery.aggregated(server.registry.kinds(), root, media.version)  # noqa: E731
    return _with_etag(request, _document(server, f"/{root}?{media.version}", make), media.content_type)


def _group_discovery(server: Server, request: Request, parts: list[str]) -> Response:
    """/api/v1, /apis/GROUP, /apis/GROUP/VERSION."""
    kinds = server.registry.kinds()
    document: object | None = None
    if parts[0] == "api" and len(parts) == 2:
        document = discovery.resource_list(kinds, "", parts[1])
    elif len(parts) == 2:
        document = discovery.group(kinds, parts[1])
    elif len(parts) == 3:
        document = discovery.resource_list(kinds, parts[1], parts[2])
    if document is None:
        raise errors.path_not_found()
    return _with_etag(request, orjson.dumps(document), "application/json")


_ALIVE: dict[str, Check] = {"ping": lambda _server: True, "etcd": lambda server: not server.store.failing}
HEALTH = {"healthz": _ALIVE, "livez": _ALIVE, "readyz": _ALIVE | {"startup": lambda server: server.ready}}
EXACT: dict[str, Callable[[Server, Request], Response]] = {
    "/": _root,
    "/version": _version,
    "/metrics": _metrics,
    "/api": _api,
    "/apis": _apis,
}
