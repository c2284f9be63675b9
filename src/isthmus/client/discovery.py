"""Which resources a server has: by its aggregated discovery document, else by the many plain ones of older servers."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from isthmus.client.api import Client, Object, Resource
from isthmus.machinery.errors import StatusError

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


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
    answers = await asyncio.gather(*(client.call("GET", root, accept=AGGREGATED) for root in ("/api", "/apis")))
    documents: list[Object] = [orjson.loads(answer) for answer in answers]
    if all(document["kind"] == "APIGroupDiscoveryList" for document in documents):
        return [served for document in documents for served in _aggregated(document)]
    return await _plain(client)


def _aggregated(document: Object) -> Iterator[Served]:
    for group in document["items"]:
        name, preferred = group["metadata"].get("name") or "", group["versions"][0]
        if preferred.get("freshness") == "Stale":
            continue
        for entry in preferred["resources"]:
            resource = Resource(name, preferred["version"], entry["resource"], entry["scope"] == "Namespaced")
            yield Served(resource, (entry.get("responseKind") or {}).get("kind", ""), frozenset(entry["verbs"]))


async def _plain(client: Client) -> list[Served]:
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
