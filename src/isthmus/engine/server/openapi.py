"""`/openapi/v3` and `/openapi/v2`: what is served, as machines read it. Made of the kinds when somebody asks.

Every document has an ETag that is known without making it: a hash of what the kinds say, so that a client that has one
is told so at once, also after a restart. The one document of v2 is of megabytes: it is written a definition at a time,
in a thread, and kept compressed, which is how most clients want it. Its paths are rows of `dispatch`.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson
from isal import isal_zlib

from isthmus.codec import gnostic
from isthmus.engine.server import compression
from isthmus.engine.server.context import Server
from isthmus.engine.server.message import Request, Response
from isthmus.engine.server.route import ANY, PathRoute, Paths
from isthmus.kinds import catalogue
from isthmus.kinds.kind import Kind
from isthmus.machinery import accept, errors, openapi, openapiv2

V2, V3 = "/openapi/v2", "/openapi/v3"
_V2_FORMS = (accept.JSON, accept.OPENAPI_V2_OLD, accept.OPENAPI_V2)


def cached(request: Request, salt: str, body: Callable[[], bytes], content_type: str = accept.JSON) -> Response:
    """The document that `body` makes, or 304 for who has the one of this salt."""
    etag = f'"{hashlib.sha256(f"{content_type}/{salt}".encode()).hexdigest().upper()}"'
    headers = (("etag", etag), ("vary", "Accept, Accept-Encoding"), ("cache-control", "no-cache, private"))
    if request.headers.get("if-none-match") == etag:
        return Response(b"", 304, content_type, headers)
    return Response(body(), 200, content_type, headers)


def _salt(server: Server) -> str:
    """Changes with anything that the documents are made of: the built-in kinds, and CustomResourceDefinitions."""
    known = server.derived.get("openapi")
    if known is None or known[0] != server.registry.generation:
        custom = sorted((k for k in server.registry.kinds() if not k.definition), key=lambda k: k.resource)
        digest = hashlib.sha256(catalogue.fingerprint().encode())
        for kind in custom:
            digest.update(orjson.dumps(kind))
        known = server.derived["openapi"] = (server.registry.generation, digest.hexdigest().encode())
    return known[1].decode()


def _group_versions(kinds: Iterable[Kind]) -> list[tuple[str, str]]:
    return sorted({(kind.group, version) for kind in kinds for version in kind.versions})


def _index(server: Server) -> bytes:
    """Every group version's path, with a hash that changes when its document may have."""
    return orjson.dumps(openapi.index(_group_versions(server.registry.kinds()), _salt(server)))


def _make(kinds: Iterable[Kind], group: str, version: str) -> openapi.Object:
    """The v3 document of one group version."""
    chosen = [k for k in kinds if k.group == group and version in k.versions]
    return openapi.document(chosen, group, version, catalogue.described_definitions(chosen, version))


async def _v3_index(server: Server, request: Request) -> Response:
    return cached(request, _salt(server), lambda: _index(server))


async def _v3_core(server: Server, request: Request, version: str) -> Response:
    return _v3(server, request, f"api/{version}", "", version)


async def _v3_group(server: Server, request: Request, group: str, version: str) -> Response:
    return _v3(server, request, f"apis/{group}/{version}", group, version)


def _v3(server: Server, request: Request, path: str, group: str, version: str) -> Response:
    """The document of one group version. Raises StatusError 404."""
    kinds = server.registry.kinds()
    if (group, version) not in _group_versions(kinds):
        raise errors.path_not_found()
    return cached(request, f"{path}/{_salt(server)}", lambda: orjson.dumps(_make(kinds, group, version)))


async def _v2(server: Server, request: Request) -> Response:
    """The Swagger document, as JSON or as gnostic's protobuf. Raises StatusError 406."""
    media = accept.negotiate(request.headers.get("accept", ""), _V2_FORMS, frozenset()).media_type
    media = accept.OPENAPI_V2 if media == accept.OPENAPI_V2_OLD else media
    salt, name = _salt(server), f"{V2}/{media}"
    answer = cached(request, f"{V2}/{salt}", lambda: b"", media)
    if answer.status == 304:
        return answer
    known = server.derived.get(name)
    if known is None or known[0] != server.registry.generation:
        generation, kinds = server.registry.generation, server.registry.kinds()
        known = (generation, await asyncio.to_thread(_compressed, kinds, media))
        server.derived[name] = known
    answer.body = known[1]
    if compression.wanted(request):
        answer.headers = (*answer.headers, compression.ENCODED)
    else:
        answer.body = await asyncio.to_thread(isal_zlib.decompress, known[1], compression.GZIP_WINDOW)
    return answer


def _compressed(kinds: Sequence[Kind], media: str) -> bytes:
    """The document of all kinds, gzipped."""
    compressor = isal_zlib.compressobj(2, wbits=compression.GZIP_WINDOW)
    write = _json if media == accept.JSON else _protobuf
    out = [compressor.compress(part) for part in write(kinds)]
    return b"".join([*out, compressor.flush()])


def _entries(kinds: Sequence[Kind]) -> Iterator[tuple[str, str, openapi.Object]]:
    """("paths" or "definitions", name, value) of everything in the document, each name once."""
    seen = set[str]()
    for group, version in _group_versions(kinds):
        document = _make(kinds, group, version)
        for path, item in openapiv2.paths(document):
            yield "paths", path, item
        for name, raw in document["components"]["schemas"].items():
            if name not in seen:
                seen.add(name)
                yield "definitions", name, openapiv2.definition(name, raw)


def _protobuf(kinds: Sequence[Kind]) -> Iterator[bytes]:
    for name, value in openapiv2.HEAD.items():
        yield gnostic.field(name, value)
    for part, name, value in _entries(kinds):
        yield gnostic.field(part, {name: value})


def _json(kinds: Sequence[Kind]) -> Iterator[bytes]:
    parts: dict[str, list[bytes]] = {"paths": [], "definitions": []}
    for part, name, value in _entries(kinds):
        parts[part].append(orjson.dumps(name) + b":" + orjson.dumps(value))
    yield orjson.dumps(openapiv2.HEAD)[:-1]
    for part, entries in parts.items():
        yield b"," + orjson.dumps(part) + b":{" + b",".join(entries) + b"}"
    yield b"}"


PATHS: Paths = {
    V2: PathRoute(_v2),
    V3: PathRoute(_v3_index),
    f"{V3}/api/{ANY}": PathRoute(_v3_core),
    f"{V3}/apis/{ANY}/{ANY}": PathRoute(_v3_group),
}
