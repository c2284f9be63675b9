"""get and list: stored bytes out."""

import base64
import binascii

import orjson

from isthmus.engine.registry.selection import Selection
from isthmus.engine.server import representation
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers.resourceversion import read_revision
from isthmus.engine.server.message import Response
from isthmus.engine.store.row import Row
from isthmus.engine.store.store import CompactedError
from isthmus.machinery import errors

EXPIRED = "The provided continue parameter is too old to display a consistent list result. You must start a new list."


async def get(call: Call) -> Response:
    """One object."""
    kind, info = call.served.kind, call.info
    header = call.request.headers.get("accept", "")
    form, content_type = representation.choose(
        call.served, info.version, header, call.request.query.get("includeObject", "")
    )
    await read_revision(call)
    row = call.server.store.get(call.key)
    if row is None:
        raise errors.not_found(kind.group, kind.plural, info.name)
    return Response(form.one(row.value), 200, content_type)


async def list_(call: Call) -> Response:
    """Many, in key order, whole or in pages that all show one revision."""
    query = call.request.query
    form, content_type = representation.choose(
        call.served, call.info.version, call.request.headers.get("accept", ""), query.get("includeObject", "")
    )
    selection = Selection.of_request(call.served, call.info.namespace, query)
    limit = call.request.number("limit")
    revision, after = await _position(call)
    rows = await _rows(call, selection, revision, after)
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if limit and len(rows) > limit:
        rest, rows = len(rows) - limit, rows[:limit]
        metadata["continue"] = _token(revision, rows[-1])
        if selection.everything:
            metadata["remainingItemCount"] = rest
    return Response(form.many(rows, metadata), 200, content_type)


async def _position(call: Call) -> tuple[int, tuple[str, str] | None]:
    """The revision to show, and the key after which to go on. Raises StatusError 400, 504."""
    store, query = call.server.store, call.request.query
    if token := query.get("continue"):
        if query.get("resourceVersion", "0") not in ("", "0"):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        if query.get("resourceVersionMatch"):
            raise errors.bad_request("resourceVersionMatch is forbidden when continue is provided")
        revision, after = _parse_token(token)
        if revision < 0:  # made by `_start_over`: the rest of the list, as it is now
            return store.revision, after
        if revision > store.revision:
            raise errors.bad_request("continue key is not valid: start a new list without it")
        return revision, after
    exact = await read_revision(call)
    return (store.revision if exact is None else exact), None


async def _rows(call: Call, selection: Selection, revision: int, after: tuple[str, str] | None) -> list[Row]:
    """The rows at `revision`: from memory if nothing of the kind has changed since, else from the log."""
    store = call.server.store
    table = store.table(call.served.stored_as)
    if table.last_revision <= revision:
        if (label := selection.label) and after is None:
            rows = [r for r in table.labelled(*label) if selection.namespace in (None, r.key[1])]
        else:
            rows = table.list(selection.namespace, after)
    else:
        try:
            rows = await store.page(call.served.stored_as, revision, namespace=selection.namespace, after=after)
        except CompactedError as error:
            raise _start_over(after) from error
    return rows if selection.everything else [r for r in rows if selection.matches(r)]


def _start_over(after: tuple[str, str] | None) -> errors.StatusError:
    """410, with a token by which a client may have the rest of its list at another revision."""
    error = errors.gone(EXPIRED)
    if after:
        error.metadata = {"continue": _encode([-1, *after])}
    return error


def _token(revision: int, last: Row) -> str:
    return _encode([revision, *last.key[1:]])


def _encode(position: list[int | str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def _parse_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        revision, namespace, name = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(revision), (str(namespace), str(name))
    except (ValueError, TypeError, binascii.Error) as error:
        raise errors.bad_request("continue key is not valid: start a new list without it") from error
