"""CDI's upload proxy: a disk image streamed into the volume of a PVC that waits for it.

    HEAD, POST /v1beta1/upload[-async] -> checked here, then piped to the agent of the volume's node (`dispatch`)

Paths, codes and the order of checks are CDI's (pkg/uploadproxy), which `virtctl image-upload` relies on: 400 for a
malformed header, 401 for a bad token, 503 while the PVC does not take an upload. Nothing is kept: the agent takes what
comes as fast as it writes, and bounds it by the volume's size.
"""

import asyncio
import contextlib
import time
from typing import Any

import orjson

from isthmus.engine.server import agent, uploadtokens
from isthmus.engine.server.context import Server
from isthmus.engine.server.message import TEXT, Request, Response
from isthmus.engine.server.route import PathRoute, Paths
from isthmus.engine.server.uploadtokens import Target
from isthmus.machinery import errors

Object = dict[str, Any]

READY_SECONDS = 10.0  # CDI's waitReadyTime
LINGER_SECONDS = 2.0
ANSWER_LIMIT = 64 << 10
POD_READY = "cdi.kubevirt.io/storage.pod.ready"
ENDPOINTS = ("upload", "upload-async", "upload-form", "upload-form-async")
FORWARDED = ("content-type", "content-length")


async def serve(server: Server, request: Request) -> Response | None:
    """HEAD says whether an upload is taken now; POST is one."""
    try:
        target = uploadtokens.unseal(_bearer(request), time.time())
        claim = await _until_ready(server, target)
        if request.method == "HEAD":
            return Response(b"", 200, TEXT)
        return await _pipe(server, request, target, _node_of(server, claim))
    except errors.StatusError as error:
        await _linger(request)
        return Response(error.message.encode(), error.code, TEXT)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.bad_request("the Authorization header must be: Bearer TOKEN (of an UploadTokenRequest)")
    return token.strip()


async def _until_ready(server: Server, target: Target) -> Object:
    """The PVC once it takes an upload. Raises StatusError 503 if that takes too long, or it has had one."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        claim = server.storage.lookup("persistentvolumeclaims", target.namespace, target.claim)
        if claim is None:
            raise errors.unavailable(f"PVC {target.namespace}/{target.claim} does not exist")
        uploadtokens.check_target(claim)
        if (claim["metadata"].get("annotations") or {}).get(POD_READY) == "true":
            return claim
        if time.monotonic() > deadline:
            raise errors.unavailable(f"PVC {target.namespace}/{target.claim} is not ready for an upload yet")
        await asyncio.sleep(0.2)


def _node_of(server: Server, claim: Object) -> str:
    """The node whose agent has the volume: a local one names it in its affinity."""
    volume = server.storage.lookup("persistentvolumes", "", str(claim["spec"].get("volumeName") or "")) or {}
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for expression in term.get("matchExpressions") or ():
            for value in expression.get("values") or ():
                if server.storage.lookup("nodes", "", value):
                    return str(value)
    raise errors.unavailable(f"the volume of PVC {claim['metadata']['name']} lies on no node that is known")


async def _pipe(server: Server, request: Request, target: Target, node: str) -> Response:
    """The body to the agent, piece by piece; its answer back."""
    query = "async=true" if request.path.endswith("-async") else ""
    path = agent.path_of("upload", target.namespace, target.claim, query=query)
    reader, writer = await agent.open_connection(server.home, node)
    try:
        answer = asyncio.ensure_future(_read_answer(reader))
        chunked = "content-length" not in request.headers
        headers = {"host": "agent", "connection": "close"}
        headers |= {k: request.headers[k] for k in FORWARDED if k in request.headers}
        if chunked:
            headers["transfer-encoding"] = "chunked"
        lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        with contextlib.suppress(ConnectionError):  # the agent has refused already: its answer says why
            await _send(request, writer, answer, chunked=chunked)
        status, text = await answer
    finally:
        writer.close()
    if status >= 400:
        raise errors.StatusError(status, "UploadFailed", text)
    return Response(b"", status, TEXT)


async def _send(
    request: Request, writer: asyncio.StreamWriter, answer: asyncio.Future[tuple[int, str]], *, chunked: bool
) -> None:
    assert request.stream is not None
    async for piece in request.stream:
        if answer.done():
            return
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and message of the agent's answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise errors.unavailable("the node's agent ended in the middle of the upload; try again") from error
    status = int(head.split(b" ", 2)[1])
    body = await reader.read(ANSWER_LIMIT)
    try:
        return status, str(orjson.loads(body).get("message", ""))
    except ValueError:
        return status, body.decode(errors="replace")


async def _linger(request: Request) -> None:
    """Take some more of a body that nobody wants: a client that is still sending may not read its answer else."""
    if request.stream is None:
        return
    with contextlib.suppress(TimeoutError, errors.StatusError):
        async with asyncio.timeout(LINGER_SECONDS):
            async for _ in request.stream:
                pass


_PROXY = PathRoute(serve, ("HEAD", "POST"), own_tokens=True)
PATHS: Paths = {f"/{version}/{endpoint}": _PROXY for version in ("v1beta1", "v1alpha1") for endpoint in ENDPOINTS}
