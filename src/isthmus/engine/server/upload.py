"""CDI's upload proxy and its tokens: a disk image streamed into the volume of a PVC that waits for it.

    POST …/uploadtokenrequests        -> a token for one PVC, five minutes long (called by `reviews`)
    HEAD, POST /v1beta1/upload[-async] -> checked here, then piped to the agent of the volume's node (called by `app`)

Paths, codes and the order of checks are CDI's (pkg/uploadproxy), which `virtctl image-upload` relies on: 400 for a
malformed header, 401 for a bad token, 503 while the PVC does not take an upload. Nothing is kept: the agent takes what
comes as fast as it writes, and bounds it by the volume's size.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from isthmus.engine.server import agent
from isthmus.engine.server.context import Call, Server
from isthmus.engine.server.message import TEXT, Request, Response
from isthmus.machinery import errors

Object = dict[str, Any]

TOKEN_REQUESTS = "uploadtokenrequests.upload.cdi.kubevirt.io"  # noqa: S105 (a resource's name)
TOKEN_SECONDS = 300
READY_SECONDS = 10.0  # CDI's waitReadyTime
LINGER_SECONDS = 2.0
ANSWER_LIMIT = 64 << 10
TARGET = "cdi.kubevirt.io/storage.upload.target"
POD_READY = "cdi.kubevirt.io/storage.pod.ready"
POD_PHASE = "cdi.kubevirt.io/storage.pod.phase"
ENDPOINTS = frozenset({"upload", "upload-async", "upload-form", "upload-form-async"})
FORWARDED = ("content-type", "content-length")
_KEY = secrets.token_bytes(32)  # tokens live no longer than this process: virtctl asks for another one then


@dataclass(frozen=True, slots=True)
class Target:
    """What a token is for."""

    namespace: str
    claim: str


# --- tokens -----------------------------------------------------------------------------------------------------------


def issue(call: Call, review: Object) -> Object:
    """The status of an UploadTokenRequest. Raises StatusError 404, 503."""
    name = str((review.get("spec") or {}).get("pvcName") or "")
    claim = call.server.storage.lookup("persistentvolumeclaims", call.info.namespace, name)
    if claim is None:
        raise errors.not_found("", "persistentvolumeclaims", name)
    _must_be_target(claim)
    return {"token": seal(Target(call.info.namespace, name), time.time() + TOKEN_SECONDS)}


def seal(target: Target, expires: float) -> str:
    """A token. Whoever has it may fill that one PVC until then."""
    payload = base64.urlsafe_b64encode(orjson.dumps([target.namespace, target.claim, expires]))
    return f"{payload.decode()}.{_sign(payload)}"


def unseal(token: str, now: float) -> Target:
    """What a token is for. Raises StatusError 401 if it is not ours, or expired."""
    payload, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(payload.encode()).encode()):
        raise errors.unauthorized()
    namespace, claim, expires = orjson.loads(base64.urlsafe_b64decode(payload))
    if now >= expires:
        raise errors.unauthorized()
    return Target(namespace, claim)


def _sign(payload: bytes) -> str:
    return hmac.new(_KEY, payload, hashlib.sha256).hexdigest()


def _must_be_target(claim: Object) -> None:
    annotations = claim["metadata"].get("annotations") or {}
    name = claim["metadata"]["name"]
    if TARGET not in annotations:
        raise errors.unavailable(f"PVC {name} is not an upload target")
    if annotations.get(POD_PHASE) == "Succeeded":
        raise errors.unavailable(f"PVC {name} already successfully imported")


# --- the proxy --------------------------------------------------------------------------------------------------------


def serves(request: Request) -> bool:
    """Whether a path is the proxy's."""
    version, _, endpoint = request.path.strip("/").partition("/")
    return version in ("v1beta1", "v1alpha1") and endpoint in ENDPOINTS


async def serve(server: Server, request: Request) -> Response | None:
    """HEAD says whether an upload is taken now; POST is one."""
    try:
        target = unseal(_bearer(request), time.time())
        claim = await _until_ready(server, target)
        if request.method == "HEAD":
            return Response(b"", 200, TEXT)
        if request.method != "POST":
            raise errors.method_not_allowed()
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
        _must_be_target(claim)
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
