"""create: POST to a collection."""

from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response


async def create(call: Call) -> Response:
    """Store a new object and answer with it."""
    context = call.write_context()
    form, content_type = call.form()
    obj = body.read_object(call, context)
    value = await call.server.storage.create(call.stored, call.to_stored(obj), context)
    return Response(form.one(value), 201, content_type, body.warning_headers(context))
