"""What a subresource's module gives to the table of all of them."""

from collections.abc import Awaitable, Callable

from isthmus.engine.server.context import Call
from isthmus.engine.server.message import Response

Handler = Callable[[Call], Awaitable[Response | None]]
Table = dict[tuple[str, str], dict[str, Handler]]  # (Kind.resource, subresource) -> verb -> function
