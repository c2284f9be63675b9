"""get and list: stored bytes out."""

import base64
import binascii
from typing import NamedTuple

import orjson

from isthmus.engine.registry.selection import Selection
from isthmus.engine.server import options
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers.resourceversion import read_revision
from isthmus.engine.server.message import Response
from isthmus.engine.store.row import Row
from isthmus.engine.store.store import CompactedError
from isthmus.machinery import errors

SMALLEST_READ = 500  # rows of the log at once where a selector may pass over many
EXPIRED = "The provided continue parameter is too old to display a consistent list result. You must start a new list."


async def get(call: Call) -> Response:
    """One object."""
    form, content_type = call.form()
    await read_revision(call)
    return Response(form.one(call.row().value), 200, content_type)


async def list_(call: Call) -> Response:
    """Many, in key order, whole or in pages that all show one revision."""
    query = call.request.query
    form, content_type = call.form()
    options.check_list(query)
    selection = Selection.of_request(call.served, call.info.namespace, query)
    limit = call.request.number("limit")
    place = await _position(call)
    rows, remaining = await _rows(call, selection, place, limit)
    metadata: dict[str, object] = {"resourceVersion": str(place.revision)}
    if limit and len(rows) > limit:
        rows = rows[:limit]
        rest = remaining - limit if selection.everything and remaining > limit else 0
        metadata["continue"] = _encode([place.revision, *rows[-1].key[1:], rest])
        if rest:
            metadata["remainingItemCount"] = rest
    return Response(form.many(rows, metadata), 200, content_type)


class Place(NamedTuple):
    """Where a page begins."""

    revision: int
    after: tuple[str, str] | None = None  # the key before
    remaining: int = 0  # objects from here on, if the page before knew


async def _position(call: Call) -> Place:
    """The revision to show, and the key after which to go on. Raises StatusError 400, 504."""
    store, query = call.server.store, call.request.query
    if token := query.get("continue"):
        if query.get("resourceVersion", "0") not in ("", "0"):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        place = _parse_token(token)
        if place.revision < 0:  # made by `_start_over`: the rest of the list, as it is now
            return Place(store.revision, place.after)
        if place.revision > store.revision:
            raise errors.bad_request("continue key is not valid: start a new list without it")
        return place
    exact = await read_revision(call)
    return Place(store.revision if exact is None else exact)


async def _rows(call: Call, selection: Selection, place: Place, limit: int) -> tuple[list[Row], int]:
    """At least one row more than `limit`, if there is one, and how many there are in all, if that is known.

    From memory if nothing of the kind has changed since the place's revision, else from the log.
    """
    table = call.server.store.table(call.served.stored_as)
    if table.last_revision > place.revision:
        return await _past_rows(call, selection, place, limit), place.remaining
    if (label := selection.label) and place.after is None:
        rows = [r for r in table.labelled(*label) if selection.namespace in (None, r.key[1])]
    else:
        rows = table.list(selection.namespace, place.after)
    rows = rows if selection.everything else [r for r in rows if selection.matches(r)]
    return rows, len(rows)


async def _past_rows(call: Call, selection: Selection, place: Place, limit: int) -> list[Row]:
    """Rows as they were, read from the log no further than the page needs."""
    store, after, rows = call.server.store, place.after, list[Row]()
    size = max(limit + 1, SMALLEST_READ if not selection.everything else 0) if limit else -1
    while True:
        try:
            read = await store.page(
                call.served.stored_as, place.revision, namespace=selection.namespace, after=after, limit=size
            )
        except CompactedError as error:
            raise _start_over(place.after) from error
        rows += read if selection.everything else (r for r in read if selection.matches(r))
        if size < 0 or len(read) < size or len(rows) > limit:
            return rows
        after = read[-1].key[1:]


def _start_over(after: tuple[str, str] | None) -> errors.StatusError:
    """410, with a token by which a client may have the rest of its list at another revision."""
    error = errors.gone(EXPIRED)
    if after:
        error.metadata = {"continue": _encode([-1, *after])}
    return error


def _encode(position: list[int | str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def _parse_token(token: str) -> Place:
    try:
        revision, namespace, name, *rest = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return Place(int(revision), (str(namespace), str(name)), int(rest[0]) if rest else 0)
    except (ValueError, TypeError, binascii.Error) as error:
        raise errors.bad_request("continue key is not valid: start a new list without it") from error
