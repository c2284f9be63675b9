"""The WebSocket subprotocol by which a browser brings its bearer token: it can set no header of its own.

It is offered beside the one that is meant to be spoken, so it is never chosen and never handed on. Source: apiserver,
pkg/authentication/request/websocket/protocol.go.
"""

import base64
import binascii
from collections.abc import Iterable

from isthmus.engine.server.message import Request
from isthmus.machinery import errors

HEADER = "sec-websocket-protocol"
PREFIX = "base64url.bearer.authorization.k8s.io."


def token(request: Request) -> str | None:
    """The token that a request offers so. Raises StatusError 401 for one that is not base64url."""
    for offered in map(str.strip, request.headers.get(HEADER, "").split(",")):
        if offered.startswith(PREFIX):
            encoded = offered.removeprefix(PREFIX)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (ValueError, binascii.Error) as error:
                raise errors.unauthorized() from error
    return None


def others(offered: Iterable[str]) -> list[str]:
    """The subprotocols that are meant to be spoken."""
    return [stripped for protocol in offered if not (stripped := protocol.strip()).startswith(PREFIX)]
