"""Which resources a server has, by the plain discovery documents that every version serves."""

import asyncio
from dataclasses import dataclass

import orjson

from isthmus.client.api import Client, Object, Resource
from isthmus.machinery.errors import StatusError


@dataclass(frozen=True, slots=True)
class Served:
    """One resource of one version of its group."""

    resource: Resource
    kind: str
    verbs: frozenset[str]


async def discover(client: Client) -> list[Served]:
    """Every resource, subresources left out, in the preferred version of its group.

    A group that cannot be read (its server is away) is left out. Raises StatusError if the root cannot be read.
    """
    groups = orjson.loads(await client.call("GET", "/apis"))["groups"]
    versions = [(group["name"], group["preferredVersion"]["version"]) for group in groups]
    documents = await asyncio.gather(
        _document(client, "/api/v1"), *(_document(client, f"/apis/{g}/{v}") for g, v in versions)
    )
    return [
        Served(Resource(group, version, entry["name"], entry["namespaced"]), entry["kind"], frozenset(entry["verbs"]))
        for (group, version), document in zip([("", "v1"), *versions], documents, strict=True)
        for entry in document.get("resources") or []
        if "/" not in entry["name"]
    ]


async def _document(client: Client, path: str) -> Object:
    try:
        out: Object = orjson.loads(await client.call("GET", path))
    except StatusError as error:
        if path == "/api/v1":
            raise
        if error.code in {404, 503}:
            return {}
        raise
    return out
