"""Events: what happened to an object, in words, as `kubectl describe` shows it.

The name is made from what is told, so that a repetition raises a count instead of filling the store.
"""

import hashlib
import logging
import socket

from isthmus.client.api import Client, Object
from isthmus.client.resources import EVENTS
from isthmus.lib import clock
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)


def reference(obj: Object) -> Object:
    """The ObjectReference of an object."""
    metadata = obj["metadata"]
    fields = ("namespace", "name", "uid", "resourceVersion")
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"]} | {f: metadata[f] for f in fields if f in metadata}


def build_event(obj: Object, component: str, kind: str, reason: str, message: str, now: str) -> Object:
    """A core/v1 Event of type `kind` (Normal or Warning)."""
    metadata = obj["metadata"]
    told = "\0".join((component, metadata.get("uid", ""), kind, reason, message))
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:230]}.{digest}",
            "namespace": metadata.get("namespace") or "default",
        },
        "involvedObject": reference(obj),
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": socket.gethostname(),
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


class Recorder:
    """Writes events in the name of one component. Events are a courtesy: their failure never fails the work."""

    def __init__(self, client: Client, component: str) -> None:
        self._client = client
        self._component = component

    async def normal(self, obj: Object, reason: str, message: str) -> None:
        """Something expected happened."""
        await self._record(obj, "Normal", reason, message)

    async def warning(self, obj: Object, reason: str, message: str) -> None:
        """Something that a person should look at."""
        await self._record(obj, "Warning", reason, message)

    async def _record(self, obj: Object, kind: str, reason: str, message: str) -> None:
        event = build_event(obj, self._component, kind, reason, message, clock.timestamp())
        try:
            await self._create_or_count(event)
        except StatusError as error:
            log.debug("event %s not recorded: %s", reason, error.message)

    async def _create_or_count(self, event: Object) -> None:
        try:
            await self._client.create(EVENTS, event)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
            count = (await self._client.get(EVENTS, name, namespace)).get("count", 1) + 1
            again = {"count": count, "lastTimestamp": event["lastTimestamp"]}
            await self._client.patch(EVENTS, name, again, namespace)
