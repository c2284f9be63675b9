"""Paths outside the resources: health, version, metrics, discovery; each a row of `dispatch`."""

import hashlib
import platform
from collections.abc import Callable

import orjson

from isthmus.engine.server import metrics, openapi, requestinfo
from isthmus.engine.server.context import Server
from isthmus.engine.server.message import TEXT, Request, Response
from isthmus.engine.server.route import ANY, PathRoute, Paths
from isthmus.machinery import accept, discovery, errors, jsonvalue

PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
KUBERNETES_VERSION = "v1.36.0"
KUBEVIRT_VERSION = "v1.9.0"
Check = Callable[[Server], bool]


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


async def _healthz(_server: Server, _request: Request, *_segments: str) -> Response:
    return Response(b"ok", content_type=TEXT)


async def _health(server: Server, request: Request, name: str = "") -> Response:
    """All checks of an endpoint, or the one of that name; a line for each if that is asked for or one fails."""
    endpoint = request.path.split("/")[1]
    checks = {check: works(server) for check, works in HEALTH[endpoint].items()}
    if name:
        if name not in checks:
            raise errors.path_not_found()
        checks = {name: checks[name]}
    excluded = request.all("exclude")
    passed = all(works for check, works in checks.items() if check not in excluded)
    if passed and "verbose" not in request.query:
        return await _healthz(server, request)
    lines = [
        f"[+]{check} excluded: ok" if check in excluded
        else f"[+]{check} ok" if works
        else f"[-]{check} failed: reason withheld"
        for check, works in checks.items()
    ]  # fmt: skip
    lines.append(f"{endpoint} check {'passed' if passed else 'failed'}\n")
    return Response("\n".join(lines).encode(), 200 if passed else 500, TEXT)


async def _version(_server: Server, _request: Request) -> Response:
    return Response(version_info(KUBERNETES_VERSION))


async def _kubevirt_version(_server: Server, _request: Request, _api_version: str) -> Response:
    return Response(version_info(KUBEVIRT_VERSION))


async def _guestfs(_server: Server, _request: Request, _api_version: str) -> Response:
    """The image of `virtctl guestfs`."""
    return Response(orjson.dumps({"registry": "quay.io/kubevirt", "tag": KUBEVIRT_VERSION, "imagePrefix": ""}))


async def _metrics(_server: Server, _request: Request) -> Response:
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


async def _root(server: Server, _request: Request) -> Response:
    groups = discovery.group_list(server.registry.kinds())["groups"]
    paths = [path for path in (*PATHS, *openapi.PATHS) if ANY not in path and path != "/"]
    paths += ["/api/v1", *(f"/apis/{g['name']}" for g in groups)]
    paths += [f"/apis/{v['groupVersion']}" for g in groups for v in g["versions"]]
    return Response(orjson.dumps({"paths": sorted(set(paths))}))


async def _api(server: Server, request: Request) -> Response:
    return _discovery_root(server, request, "api", lambda: discovery.api_versions(server.address))


async def _apis(server: Server, request: Request) -> Response:
    return _discovery_root(server, request, "apis", lambda: discovery.group_list(server.registry.kinds()))


def _discovery_root(server: Server, request: Request, root: str, legacy: Callable[[], object]) -> Response:
    """Aggregated discovery for who asks for it, the plain list otherwise."""
    media = accept.negotiate(request.headers.get("accept", ""), forms=accept.DISCOVERY_FORMS)
    if media.form != "APIGroupDiscoveryList":
        return _with_etag(request, _document(server, f"/{root}", legacy), "application/json")
    make = lambda: discovery.aggregated(server.registry.kinds(), root, media.version)  # noqa: E731
    return _with_etag(request, _document(server, f"/{root}?{media.version}", make), media.content_type)


async def _group(server: Server, request: Request, group: str) -> Response:
    return _discovered(request, discovery.group(server.registry.kinds(), group))


async def _core_resources(server: Server, request: Request, version: str) -> Response:
    return _discovered(request, discovery.resource_list(server.registry.kinds(), "", version))


async def _resources(server: Server, request: Request, group: str, version: str) -> Response:
    return _discovered(request, discovery.resource_list(server.registry.kinds(), group, version))


def _discovered(request: Request, document: object | None) -> Response:
    if document is None:
        raise errors.path_not_found()
    return _with_etag(request, orjson.dumps(document), "application/json")


_ALIVE: dict[str, Check] = {"ping": lambda _server: True, "etcd": lambda server: not server.store.failing}
HEALTH = {"healthz": _ALIVE, "livez": _ALIVE, "readyz": _ALIVE | {"startup": lambda server: server.ready}}
_KUBEVIRT = f"/apis/{requestinfo.SUBRESOURCE_GROUP}/{ANY}"
PATHS: Paths = {
    "/": PathRoute(_root),
    "/version": PathRoute(_version),
    "/metrics": PathRoute(_metrics),
    "/api": PathRoute(_api),
    f"/api/{ANY}": PathRoute(_core_resources),
    "/apis": PathRoute(_apis),
    f"/apis/{ANY}": PathRoute(_group),
    f"/apis/{ANY}/{ANY}": PathRoute(_resources),
    **{f"/{endpoint}": PathRoute(_health) for endpoint in HEALTH},
    **{f"/{endpoint}/{ANY}": PathRoute(_health) for endpoint in HEALTH},
    f"{_KUBEVIRT}/version": PathRoute(_kubevirt_version),  # these three are asked by virtctl
    f"{_KUBEVIRT}/healthz": PathRoute(_healthz),
    f"{_KUBEVIRT}/guestfs": PathRoute(_guestfs),
}
