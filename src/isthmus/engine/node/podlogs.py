"""pods/log: a guest's serial console, QEMU's own words, or a worker's output. All are files; see `logfiles`."""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from isthmus.client import resources
from isthmus.client.cached import CachedClient
from isthmus.engine.node import launchers, logfiles, podstatus
from isthmus.engine.node.pods import PodReconciler
from isthmus.engine.node.vm.machines import Machines
from isthmus.lib import logs
from isthmus.machinery import errors

Object = dict[str, Any]

CONSOLE_LOG = "guest-console-log"


class PodLogs:
    """The logs of this node's Pods."""

    def __init__(self, cached: CachedClient, machines: Machines, pods: PodReconciler) -> None:
        self._cached = cached
        self._machines = machines
        self._pods = pods

    async def log(self, request: web.Request) -> web.StreamResponse:
        """The log of one container. Raises StatusError before the answer has begun."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        pod = self._cached.get(resources.PODS, namespace, name)
        if pod is None:
            raise errors.not_found("", "pods", name)
        wanted, is_live = build_wanted(request), partial(self._pod_lives, pod)
        paths = self._find_paths(pod, request.query.get("container", ""))
        if not any(path.exists() for path in paths) and not is_live():
            raise errors.bad_request(f"pod {name} has no log: its container has not started, or was removed")
        return await _send(request, paths, wanted, is_live)

    def _find_paths(self, pod: Object, container: str) -> list[Path]:
        names = [entry["name"] for entry in pod["spec"].get("containers") or ()]
        container = container or names[0]
        if container not in names:
            raise errors.bad_request(f"container {container} is not valid for pod {pod['metadata']['name']}")
        if (key := launchers.launcher_key(pod)) is None:
            return [self._pods.files(pod["metadata"]["uid"]).log]
        uid = (pod["metadata"].get("labels") or {}).get(launchers.CREATED_BY, "")
        if self._machines.records.owner(uid) not in (None, key):  # a label is anybody's to write
            raise errors.bad_request(f"pod {pod['metadata']['name']} is not of the machine that its labels name")
        found = self._machines.sockets(uid)
        path = found.serial_log if container == CONSOLE_LOG else found.qemu_log
        return [logs.former(path), path]

    def _pod_lives(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        now = self._cached.get(resources.PODS, metadata["namespace"], metadata["name"])
        return now is not None and now["metadata"]["uid"] == metadata["uid"] and not podstatus.is_final(now)


async def _send(
    request: web.Request, paths: list[Path], wanted: logfiles.Wanted, is_live: Callable[[], bool]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        async for chunk in logfiles.read(paths, wanted, is_live):
            await response.write(chunk)
        await response.write_eof()
    return response


def build_wanted(request: web.Request) -> logfiles.Wanted:
    """The part of a log that the query asks for. Raises StatusError 400."""

    def number(key: str) -> int | None:
        text = request.query.get(key)
        if text is None:
            return None
        if not text.isdigit():
            raise errors.bad_request(f"{key}={text}: expected a number that is not negative")
        return int(text)

    def flag(key: str) -> bool:
        return request.query.get(key, "false") in ("true", "1")

    return logfiles.Wanted(flag("follow"), number("tailLines"), number("limitBytes"), flag("timestamps"))
