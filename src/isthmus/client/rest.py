"""The client over HTTPS: Kubernetes' verbs as requests. Made by `connect.open_client`."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from isthmus.client.api import Object, PatchType, Resource, WatchEvent, WebSocket
from isthmus.client.paths import object_path, resource_path
from isthmus.client.transport import Request, Transport
from isthmus.machinery.errors import StatusError

PAGE = "500"
PATCH_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}


class RestClient:
    """`api.Client` over a `Transport`. The field manager is the user agent's name."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._manager = {"fieldManager": transport.user_agent.partition("/")[0]}

    @property
    def namespace(self) -> str:
        """The namespace of the kubeconfig's context."""
        return self.transport.access.namespace

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Read one object."""
        return await self._object("GET", resource_path(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> Object:
        """Read all, page by page; a snapshot that expires under way is read again in one piece."""
        path = resource_path(resource, namespace)
        selectors = _given(labelSelector=labels, fieldSelector=fields)
        page = await self._object("GET", path, query=selectors | {"limit": PAGE})
        items: list[Object] = page.get("items") or []
        while token := page["metadata"].get("continue"):
            try:
                page = await self._object("GET", path, query=selectors | {"limit": PAGE, "continue": token})
            except StatusError as error:
                if error.code != 410:
                    raise
                page = await self._object("GET", path, query=selectors)
                items = []
            items += page.get("items") or []
        return page | {"items": items}

    async def create(self, resource: Resource, body: Object, namespace: str = "") -> Object:
        """Create one; the namespace defaults to the body's."""
        path = resource_path(resource, namespace or body["metadata"].get("namespace", ""))
        return await self._object("POST", path, body, query=self._manager)

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace one: name, namespace and resourceVersion are the body's."""
        return await self._object("PUT", object_path(resource, body, subresource), body, query=self._manager)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        force: bool = False,
    ) -> Object:
        """Patch one."""
        query = self._manager | ({"force": "true"} if force and patch_type == "apply" else {})
        path = resource_path(resource, namespace, name, subresource)
        return await self._object("PATCH", path, body, query=query, content_type=PATCH_TYPES[patch_type])

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, options: Object | None = None
    ) -> Object:
        """Delete one, with DeleteOptions."""
        return await self._object("DELETE", resource_path(resource, namespace, name), options)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[WatchEvent]:
        """Follow changes until the server ends the stream. An ERROR event is raised as StatusError."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(timeout)}
        query |= _given(resourceVersion=resource_version, labelSelector=labels, fieldSelector=fields)
        # A server that went silent must not hold us for ever: it was asked to end the stream itself by then.
        request = Request("GET", resource_path(resource, namespace), query, timeout=timeout + 30)
        async with self.transport.send(request) as response:
            try:
                async for line in _lines(response.content.iter_any()):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise StatusError.from_status(event["object"])
                    yield WatchEvent(event["type"], event["object"])
            finally:
                response.close()

    async def call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None, accept: str = ""
    ) -> bytes:
        """Anything else by its path."""
        content, headers = _encoded(body)
        request = Request(method, path, query or {}, content, headers | ({"Accept": accept} if accept else {}))
        async with self.transport.send(request) as response:
            return await response.read()

    async def stream(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """GET a body piece by piece."""
        async with self.transport.send(Request("GET", path, query or {}, timeout=None)) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def upload(
        self,
        path: str,
        chunks: AsyncIterable[bytes],
        *,
        method: str = "POST",
        length: int | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Send a body of any size; chunked if its length is not known."""
        known = {} if length is None else {"Content-Length": str(length)}
        headers = {"Content-Type": "application/octet-stream"} | known | dict(headers or {})
        request = Request(method, path, query or {}, chunks, headers, timeout=None)
        async with self.transport.send(request) as response:
            return await response.read()

    async def websocket(
        self, path: str, protocols: Sequence[str] = (), *, query: Mapping[str, str] | None = None
    ) -> WebSocket:
        """Upgrade to a WebSocket."""
        return await self.transport.websocket(path, protocols, query or {})

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def _object(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        encoded, headers = _encoded(body, content_type)
        async with self.transport.send(Request(method, path, query or {}, encoded, headers)) as response:
            out: Object = orjson.loads(await response.read())
            return out


def _encoded(body: Any, content_type: str = "application/json") -> tuple[bytes | None, dict[str, str]]:
    return (None, {}) if body is None else (orjson.dumps(body), {"Content-Type": content_type})


def _given(**query: str) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Split on newlines; unlike StreamReader.readline a line may be of any length (a watch event of a large object)."""
    parts: list[bytes] = []
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            line = b"".join([*parts, piece])
            parts.clear()
            if line.strip():
                yield line
        if rest:
            parts.append(rest)
    if any(part.strip() for part in parts):
        yield b"".join(parts)
