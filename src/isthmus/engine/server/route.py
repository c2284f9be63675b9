"""The rows of the two tables by which a request finds its function (`dispatch`): their types."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from isthmus.engine.server.context import Call
from isthmus.engine.server.message import Response

ANY = "*"
READS = ("GET", "HEAD")
Handler = Callable[[Call], Awaitable[Response | None]]
Verbs = dict[str, Handler]
Table = dict[tuple[str, str], Verbs]  # (Kind.resource or ANY, subresource or "") -> verb -> function


@dataclass(frozen=True, slots=True)
class PathRoute:
    """A path outside the resources: called with the server, the request, and each segment that ANY stood for."""

    handler: Callable[..., Awaitable[Response | None]]
    methods: tuple[str, ...] = READS
    own_tokens: bool = False  # it knows its clients by tokens of its own, not as this server's users


Paths = dict[str, PathRoute]  # "/healthz/*": a segment may be ANY
