"""update: PUT of a whole object, or of its status."""

from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.machinery import causes, errors


async def update(call: Call) -> Response:
    """Replace an object by the body and answer with what came of it."""
    context = call.write_context()
    form, content_type = call.form()
    obj = body.read_object(call, context)
    metadata = obj["metadata"]
    name = metadata.get("name") or call.info.name
    if name != call.info.name:
        raise errors.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({call.info.name})"
        )
    if call.served.custom and not metadata.get("resourceVersion") and call.server.store.head(call.key):
        kind = call.served.kind
        cause = causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.invalid(kind.group, kind.kind, name, [cause])
    stored = call.to_stored(obj)
    value = await call.server.storage.update(call.stored, call.key, lambda _old: stored, context)
    return Response(form.one(value), 200, content_type, body.warning_headers(context))
