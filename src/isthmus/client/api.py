"""The interface of a Kubernetes API client. `connect.open_client(kubeconfig, user_agent)` gives the one over HTTPS."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Object = dict[str, Any]
PatchType = Literal["merge", "json", "strategic", "apply"]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource to talk about: enough to make its URL."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class WebSocket(Protocol):
    """An open WebSocket: binary messages are `bytes`, text messages `str`. Iterating ends when the peer closes."""

    @property
    def subprotocol(self) -> str | None:
        """What the server chose of the protocols that were offered."""

    async def send(self, message: bytes | str) -> None:
        """Send one message; waits while the peer reads slowly."""

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        """The peer's messages."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in the orderly way."""


class Client(Protocol):
    """Every call raises `machinery.errors.StatusError`: the server's, or 503 when it cannot be reached."""

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Read one object."""

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> Object:
        """Read all; `namespace` empty means every namespace. Gives the List object, paged reads joined."""

    async def create(self, resource: Resource, body: Object, namespace: str = "") -> Object:
        """Create one; the namespace defaults to the body's."""

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace one: name, namespace and resourceVersion are the body's."""

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
        """Patch one. `force` is for patch_type="apply"; the field manager is the client's own name."""

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, options: Object | None = None
    ) -> Object:
        """Delete one, with DeleteOptions."""

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        timeout: int = 300,
    ) -> AsyncIterator[WatchEvent]:
        """Follow changes after `resource_version` until the server ends the stream. Raises StatusError 410."""

    async def call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None, accept: str = ""
    ) -> bytes:
        """Anything else by its path, e.g. PUT …/virtualmachines/NAME/start. `accept`: a media type other than JSON."""

    def stream(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """GET a body piece by piece, as it arrives: a log that is followed, a disk image."""

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
        """Send a body of any size from `chunks`; never retried. `length` in bytes if known."""

    async def websocket(
        self, path: str, protocols: Sequence[str] = (), *, query: Mapping[str, str] | None = None
    ) -> WebSocket:
        """Upgrade to a WebSocket: consoles, exec, port-forward. The caller closes it."""

    async def close(self) -> None:
        """Close the connections."""
