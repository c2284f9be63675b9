"""A watch over a WebSocket, as kube-apiserver serves it to clients that ask with `Upgrade: websocket`.

Each event is one text message. The protocol itself is that of the package `websockets`, without its I/O.

A `stream.Framing`. Called by `handlers.watch`. Source: apiserver, pkg/endpoints/handlers/watch.go.
"""

import contextlib
from collections.abc import Sequence

from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from isthmus.engine.server import bearerprotocol
from isthmus.engine.server.message import Request
from isthmus.engine.server.stream import BUFFER, EventStream, is_overrun
from isthmus.machinery import errors

HANDSHAKE = (
    "host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
)  # fmt: skip


def _choose(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first that is no token: what is offered beside one is offered only to be chosen."""
    return next(map(Subprotocol, bearerprotocol.others(offered)), None)


def accept(request: Request) -> EventStream:
    """Answer the handshake and take the connection over. Raises StatusError 400 for a handshake that is none."""
    framing = WebSocket(request)
    request.connection.take_over(framing.receive)
    return EventStream(request.connection, framing)


class WebSocket:
    """The server's side of one WebSocket to which only the server has anything to say."""

    name = "websocket"

    def __init__(self, request: Request) -> None:
        self._transport = request.connection.transport
        self._protocol = ServerProtocol(select_subprotocol=_choose, max_size=BUFFER)
        answer = self._protocol.accept(self._handshake(request))
        if answer.status_code != 101:
            raise errors.bad_request(f"the WebSocket handshake is not right: {(answer.body or b'').decode().strip()}")
        self._protocol.send_response(answer)
        self._flush()

    def _handshake(self, request: Request) -> Handshake:
        """The request once more in HTTP, because that is what the protocol begins with."""
        lines = [f"{name}: {request.headers[name]}\r\n" for name in HANDSHAKE if name in request.headers]
        self._protocol.receive_data(f"GET / HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1"))
        for event in self._protocol.events_received():
            if isinstance(event, Handshake):
                return event
        raise errors.bad_request("the WebSocket handshake is not right: its headers are too long")

    def frame(self, data: bytes) -> bytes:
        """Data as one text message."""
        return Frame(Opcode.TEXT, data).serialize(mask=False)

    def receive(self, data: bytes) -> None:
        """The client's pings are answered, its close is too; whatever else it says is heard by nobody."""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._protocol.events_received()
        self._flush()
        if is_overrun(self._transport):  # by answers to pings, which nobody reads
            self._transport.abort()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self._transport.is_closing():
                self._transport.write(data)
        if self._protocol.close_expected():
            self._transport.close()

    def end(self) -> None:
        """A close that says that all is well. The connection ends with it."""
        with contextlib.suppress(InvalidState):  # where the client was faster
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        self._flush()
        self._transport.close()
