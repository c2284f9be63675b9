"""Worker pods: what they look like, how they ended, what they said."""

from typing import Any

import orjson

from isthmus.client import resources
from isthmus.importer.phases.phase import Import, ImportFailedError

Object = dict[str, Any]
IMAGE = "isthmus.dev/worker"
KILLED = 137  # SIGKILL: by the kernel for want of memory, by a person, or with the node
MOST_RESTARTS = 3
PATIENCE = 900  # seconds until a node must have started a worker
GRACE_SECONDS = 10


def claim_volumes(claims: dict[str, str]) -> list[Object]:
    """Volumes of a Pod: volume name -> claim."""
    return [{"name": v, "persistentVolumeClaim": {"claimName": c}} for v, c in claims.items()]


def build_pod(name: str, arguments: list[str], volumes: list[Object], memory: str = "128Mi") -> Object:
    """A Pod that runs our worker with these volumes; where they are stands in its environment."""
    paths = {volume["name"]: f"/volumes/{volume['name']}" for volume in volumes}
    container: Object = {
        "name": "worker",
        "image": IMAGE,
        "args": arguments,
        "env": [{"name": "ISTHMUS_VOLUMES", "value": orjson.dumps(paths).decode()}],
        "volumeMounts": [{"name": v, "mountPath": path} for v, path in paths.items()],
        "resources": {"requests": {"cpu": "100m", "memory": memory}},
    }
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    if volumes:
        spec["volumes"] = volumes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def finished(work: Import, pod: Object) -> bool:
    """Whether a worker has ended well. One that was killed is started anew, as all of its work can be repeated.

    Raises ImportFailedError with the worker's own words otherwise.
    """
    status = pod.get("status") or {}
    phase = status.get("phase")
    if phase == "Failed" and not pod["metadata"].get("deletionTimestamp"):
        if exit_code(pod) != KILLED or not await restart(work, pod, "was killed"):
            raise ImportFailedError(await _last_words(work, pod))
    elif phase in (None, "Pending"):
        await _tell_why(work, status)
    return bool(phase == "Succeeded")


def exit_code(pod: Object) -> int | None:
    """The worker's, once it has ended."""
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if ended := (container.get("state") or {}).get("terminated"):
            return int(ended.get("exitCode") or 0)
    return None


async def _tell_why(work: Import, status: Object) -> None:
    """Say why the worker does not start; give up when that has lasted too long."""
    waiting = _waiting(status)
    if work.seconds_in_phase() > PATIENCE:
        raise ImportFailedError(f"no node has started the worker within {PATIENCE} s. {waiting}".strip())
    if waiting:
        await work.tell(waiting)


def _waiting(status: Object) -> str:
    """Why the worker does not start, in the node's words."""
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if message := waiting.get("message"):
            return f"The worker waits: {message}"
    return ""


async def restart(work: Import, pod: Object, why: str) -> bool:
    """Start a worker anew; whether that may still be tried."""
    count = int(work.status.get("restarts") or 0)
    if count >= MOST_RESTARTS:
        return False
    await work.patch_status({"restarts": count + 1})
    await work.warn("WorkerKilled", f"the worker {pod['metadata']['name']} {why} and is started anew")
    await work.delete(resources.PODS, pod["metadata"]["name"])
    return True


async def _last_words(work: Import, pod: Object) -> str:
    text = await work.log(pod["metadata"]["name"], tail=20)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("{")]
    if errors := [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]:
        return errors[-1]
    if exit_code(pod) == KILLED:
        return f"the worker was killed {MOST_RESTARTS + 1} times: is there enough memory on the node?"
    status = pod["status"].get("message") or pod["status"].get("reason") or "it left no message"
    return f"the worker ended badly: {lines[-1] if lines else status}"


def read_json_lines(text: str) -> list[Object]:
    """The JSON objects among the lines of a log."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                continue
    return found
