"""update: PUT of a whole object, or of its status."""

from isthmus.engine.server import representation
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.machinery import errors


async def update(call: Call) -> Response:
    """Replace an object by the body and answer with what came of it."""
    context = call.write_context()
    form, content_type = representation.choose(call.served, call.info.version, call.request.headers.get("accept", ""))
    obj = body.read_object(call, context)
    name = obj["metadata"].get("name") or call.info.name
    if name != call.info.name:
        raise errors.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({call.info.name})"
        )
    value = await call.server.storage.update(call.served, call.key, lambda _old: obj, context)
    return Response(form.one(value), 200, content_type, body.warning_headers(context))
