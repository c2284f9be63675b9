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
    namespace = call.info.namespace if call.served.kind.namespaced else ""
    selection = Selection(call.served, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    limit = _limit(query.get("limit", ""))
    revision, rows = await _rows(call, selection)
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if not selection.everything:
        rows = [r for r in rows if selection.matches(r)]
    if limit and len(rows) > limit:
        rest, rows = len(rows) - limit, rows[:limit]
        metadata["continue"] = _token(revision, rows[-1])
        if selection.everything:
            metadata["remainingItemCount"] = rest
    return Response(form.many(rows, metadata), 200, content_type)


def _limit(text: str) -> int:
    try:
        return max(0, int(text or 0))
    except ValueError as error:
        raise errors.bad_request(f'limit: "{text}" is not a number') from error


async def _rows(call: Call, selection: Selection) -> tuple[int, list[Row]]:
    store, query = call.server.store, call.request.query
    table = store.table(call.served.stored_as)
    if token := query.get("continue"):
        if query.get("resourceVersion", "0") not in ("", "0"):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        revision, after = _parse_token(token)
    else:
        after = None
        exact = await read_revision(call)
        if exact is None:
            return store.revision, table.list(selection.namespace)
        revision = exact
    if table.last_revision <= revision <= store.revision:
        return revision, table.list(selection.namespace, after)
    try:
        rows = await store.snapshot(call.served.stored_as, revision)
    except CompactedError as error:
        raise errors.gone(EXPIRED) from error
    wanted = (r for r in rows if selection.namespace in (None, r.key[1]))
    return revision, [r for r in wanted if after is None or r.key[1:] > after]


def _token(revision: int, last: Row) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([revision, *last.key[1:]])).decode().rstrip("=")


def _parse_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        revision, namespace, name = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(revision), (str(namespace), str(name))
    except (ValueError, TypeError, binascii.Error) as error:
        raise errors.bad_request("continue key is not valid: start a new list without it") from error
