"""What `resourceVersion` and `resourceVersionMatch` of a read ask for (Kubernetes API concepts)."""

import asyncio

from isthmus.engine.server.context import Call
from isthmus.machinery import errors

TOO_LARGE_WAIT = 3.0  # seconds that a read waits for a revision that is still to come


def parse(text: str) -> int | None:
    """A resourceVersion; None if unset. Raises StatusError 400."""
    if not text:
        return None
    if not text.isdecimal() or len(text) > 19:
        raise errors.bad_request(f'Invalid value: "{text}": resourceVersion: must be a number that the server gave')
    return int(text)


async def read_revision(call: Call) -> int | None:
    """The exact revision that a get or list must show; None when the newest is right, once it is new enough."""
    query = call.request.query
    if not query:
        return None
    match, wanted = query.get("resourceVersionMatch", ""), parse(query.get("resourceVersion", ""))
    if wanted:
        await not_older_than(call, wanted)
    return wanted if match == "Exact" else None


async def not_older_than(call: Call, revision: int) -> None:
    """Wait a little for a revision that is still to come. Raises StatusError 504 as kube-apiserver does."""
    deadline = asyncio.get_running_loop().time() + TOO_LARGE_WAIT
    while call.server.store.revision < revision:
        if asyncio.get_running_loop().time() > deadline:
            message = f"Too large resource version: {revision}, current: {call.server.store.revision}"
            causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
            details = {"causes": causes, "retryAfterSeconds": 1}
            raise errors.StatusError(504, "Timeout", f"Timeout: {message}", details=details)
        await asyncio.sleep(0.05)
