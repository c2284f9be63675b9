"""gzip for large answers, as kube-apiserver has it: from 128 KiB on, for clients that take it.

It pays on the loopback too: ISA-L compresses faster than TLS encrypts what it saves (docs/benchmarks.md, "API").
Called by `app`.
"""

import asyncio

from isal import isal_zlib

from isthmus.engine.server.message import Request, Response

MINIMUM = 128 * 1024  # bytes
GZIP_WINDOW = 16 + 15  # zlib's parameter for gzip's framing
ENCODED = ("content-encoding", "gzip")


def wanted(request: Request) -> bool:
    """Whether the client takes gzip."""
    accepted = request.headers.get("accept-encoding", "")
    return "gzip" in accepted and "gzip;q=0" not in accepted.replace(" ", "")


async def compress(request: Request, response: Response) -> Response:
    """The response as this client gets it; compressed in a thread, because a large list takes milliseconds."""
    if ENCODED in response.headers or not wanted(request):
        return response
    vary = (*response.headers, ("vary", "Accept-Encoding"))
    body = await asyncio.to_thread(isal_zlib.compress, response.body, 1, GZIP_WINDOW)
    return Response(body, response.status, response.content_type, (*vary, ENCODED))
