"""delete and deletecollection."""

from typing import Any

import orjson

from isthmus.engine.registry.selection import Selection
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.machinery import errors

Object = dict[str, Any]


async def delete(call: Call) -> Response:
    """One object: a Status if it is gone at once, else the object as it waits."""
    context = call.write_context()
    options = _options(call)
    context.dry_run = context.dry_run or bool(options.get("dryRun"))
    value, gone = await call.server.storage.delete(call.served, call.key, options, context)
    return Response(_status(call, value) if gone else value)


async def deletecollection(call: Call) -> Response:
    """All that the selectors match; answers with the list of them."""
    context, options, query = call.write_context(), _options(call), call.request.query
    context.dry_run = context.dry_run or bool(options.get("dryRun"))
    namespace = call.info.namespace if call.served.kind.namespaced else ""
    selection = Selection(call.served, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    rows = call.server.store.table(call.served.stored_as).list(selection.namespace)
    values = []
    for row in filter(selection.matches, rows):
        try:
            value, _ = await call.server.storage.delete(call.served, row.key, options, context)
        except errors.StatusError as error:
            if error.code != 404:
                raise
        else:
            values.append(value)
    kind = call.served.kind
    head = orjson.dumps({"resourceVersion": str(call.server.store.revision)})
    listing = f'{{"kind":"{kind.list_kind}","apiVersion":"{kind.api_version(call.info.version)}","metadata":'.encode()
    return Response(listing + head + b',"items":[' + b",".join(values) + b"]}")


def _options(call: Call) -> Object:
    """DeleteOptions from the body or, for old clients, the query."""
    options = body.read_any(call, call.write_context()) if call.request.body else {}
    query = call.request.query
    if "propagationPolicy" in query:
        options.setdefault("propagationPolicy", query["propagationPolicy"])
    if "gracePeriodSeconds" in query:
        try:
            options.setdefault("gracePeriodSeconds", int(query["gracePeriodSeconds"]))
        except ValueError as error:
            raise errors.bad_request(f"gracePeriodSeconds: {query['gracePeriodSeconds']} is not a number") from error
    if options.get("propagationPolicy") not in (None, "Orphan", "Background", "Foreground"):
        raise errors.bad_request(
            f"propagationPolicy: {options['propagationPolicy']!r} is none of Orphan, Background and Foreground"
        )
    return options


def _status(call: Call, value: bytes) -> bytes:
    kind = call.served.kind
    details = {"name": call.info.name, "kind": kind.plural, "uid": orjson.loads(value)["metadata"]["uid"]}
    if kind.group:
        details["group"] = kind.group
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return orjson.dumps(head | {"details": details})
