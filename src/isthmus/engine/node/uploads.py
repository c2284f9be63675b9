"""Uploads into claims: the agent's end of CDI's upload protocol. The API server has checked token and readiness.

The image is stored beside the volume's disk while it comes, then put in its place; the claim's annotations say so.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node.disk import files, ingest, probe
from isthmus.engine.node.disk.sources import NotReadyError, Sources, local_path
from isthmus.lib import run
from isthmus.lib.tasks import TaskSet
from isthmus.machinery import errors, quantity

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]

CHUNK = 1 << 20
VERBATIM = "isthmus.dev/upload-verbatim"  # annotation of a claim that takes a file as it is: no disk image
CONDITION = "cdi.kubevirt.io/storage.condition.running"
UPLOADED = {"cdi.kubevirt.io/storage.pod.phase": "Succeeded", CONDITION: "false", f"{CONDITION}.reason": "Completed"}


class Uploads:
    """One at a time for each claim, until it is in its place."""

    def __init__(self, cached: CachedClient, tasks: TaskSet) -> None:
        self._cached = cached
        self._tasks = tasks
        self._busy: set[Key] = set()

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Fill a claim's volume from the body.

        With `async` the answer comes when the image is here and looks like one; what is left may take minutes.
        """
        key = request.match_info["namespace"], request.match_info["name"]
        if key in self._busy:
            raise errors.unavailable(f"an upload into PVC {'/'.join(key)} is going on")
        self._busy.add(key)
        try:
            placing = await self._store(request, key)
        except BaseException:
            self._busy.discard(key)
            raise
        problem = "" if request.query.get("async") == "true" else await asyncio.shield(placing)
        if problem:
            raise errors.bad_request(problem)
        return web.Response()

    async def _store(self, request: web.Request, key: Key) -> asyncio.Task[str]:
        """Take the body; gives the task that puts it in its place."""
        try:
            volume = await Sources(self._cached.client, key[0]).claim_volume(key[1])
            path, size = Path(local_path(volume)), quantity.whole(volume["spec"]["capacity"]["storage"])
            await asyncio.to_thread(files.ensure_volume, path, size)
            verbatim = self._is_verbatim(key)
            await ingest.store(await _body(request), path, size, verbatim=verbatim)
        except NotReadyError as error:
            raise errors.unavailable(str(error)) from error
        except probe.ImageRefusedError as error:
            raise errors.bad_request(str(error)) from error
        return self._tasks.spawn(self._place(key, path, size, verbatim=verbatim), name=f"upload {'/'.join(key)}")

    def _is_verbatim(self, key: Key) -> bool:
        found = self._cached.get(resources.PVCS, *key) or {"metadata": {}}
        return (found["metadata"].get("annotations") or {}).get(VERBATIM) == "true"

    async def _place(self, key: Key, path: Path, size: int, *, verbatim: bool) -> str:
        """Convert what was uploaded; gives what is wrong with it. The claim takes another upload then."""
        problem, annotations = "", UPLOADED
        try:
            await ingest.put_in_place(path, size, verbatim=verbatim)
        except (probe.ImageRefusedError, run.CommandError) as error:
            problem = str(error)
            annotations = {f"{CONDITION}.message": problem, f"{CONDITION}.reason": "Error"}
        finally:
            self._busy.discard(key)
        body = {"metadata": {"annotations": annotations}}
        await self._cached.client.patch(resources.PVCS, key[1], body, key[0])
        return problem


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """The image: the whole body, or the first file of a form."""
    if not request.content_type.startswith("multipart/"):
        return request.content.iter_chunked(CHUNK)
    part = await (await request.multipart()).next()
    if not isinstance(part, BodyPartReader):
        raise errors.bad_request("the form has no file")
    return _read(part)


async def _read(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK):
        yield bytes(chunk)
