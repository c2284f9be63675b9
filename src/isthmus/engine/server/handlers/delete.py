"""delete and deletecollection."""

import asyncio
from typing import Any

import orjson

from isthmus.engine.registry.selection import Selection
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server import options as checks
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.store.row import Row
from isthmus.machinery import errors

Object = dict[str, Any]


async def delete(call: Call) -> Response:
    """One object: a Status if it is gone at once, else the object as it waits."""
    context = call.write_context()
    options = _options(call, context)
    form, content_type = call.form()
    value, gone = await call.server.storage.delete(call.stored, call.key, options, context)
    return Response(_status(call, value)) if gone else Response(form.one(value), 200, content_type)


async def deletecollection(call: Call) -> Response:
    """All that the selectors match; answers with the list of them."""
    context, storage = call.write_context(), call.server.storage
    options = _options(call, context)
    form, content_type = call.form()
    selection = Selection.of_request(call.served, call.info.namespace, call.request.query)
    rows = call.server.store.table(call.served.stored_as).list(selection.namespace)
    chosen = [row for row in rows if selection.matches(row)]
    # Together, so that they share commits.
    deletions = (storage.delete(call.stored, row.key, options, context) for row in chosen)
    results = await asyncio.gather(*deletions, return_exceptions=True)
    deleted = []
    for row, result in zip(chosen, results, strict=True):
        if not isinstance(result, BaseException):
            deleted.append(Row(row.key, row.revision, result[0]))
        elif not (isinstance(result, errors.StatusError) and result.code == 404):  # somebody else was faster
            raise result
    metadata = {"resourceVersion": str(call.server.store.revision)}
    return Response(form.many(deleted, metadata), 200, content_type)


def _options(call: Call, context: WriteContext) -> Object:
    """DeleteOptions from the body or, for old clients, the query. Raises StatusError 400."""
    options = body.read_as(call, context, "v1", "DeleteOptions") if call.request.body.strip() else {}
    context.dry_run = context.dry_run or checks.is_dry_run(options.get("dryRun"), checks.DELETE)
    query = call.request.query
    if "propagationPolicy" in query:
        options.setdefault("propagationPolicy", query["propagationPolicy"])
    if "gracePeriodSeconds" in query:
        options.setdefault("gracePeriodSeconds", call.request.number("gracePeriodSeconds"))
    checks.check_delete(options)
    return options


def _status(call: Call, value: bytes) -> bytes:
    kind = call.served.kind
    details = {"name": call.info.name, "kind": kind.plural, "uid": orjson.loads(value)["metadata"]["uid"]}
    if kind.group:
        details["group"] = kind.group
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return orjson.dumps(head | {"details": details})
