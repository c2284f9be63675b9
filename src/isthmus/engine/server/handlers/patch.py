"""patch: JSON Patch, merge patch, strategic merge patch, server-side apply; one function a media type."""

from collections.abc import Callable
from typing import Any

from isthmus.engine.auth.authorization import forbidden
from isthmus.engine.registry import schema
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server import options
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.lib import clock
from isthmus.machinery import causes, decode, errors, jsonpatch, mergepatch, rbac, serversideapply, strategicpatch

Object = dict[str, Any]
Patch = Callable[[Call, Object, Any], Object]

APPLY = "application/apply-patch+yaml"


def _json_patch(_call: Call, current: Object, operations: Any) -> Object:
    result = jsonpatch.apply(current, operations)
    if not isinstance(result, dict):
        raise errors.bad_request("a JSON patch must leave an object")
    return result


def _merge_patch(_call: Call, current: Object, patch: Any) -> Object:
    result = mergepatch.apply(current, patch)
    if not isinstance(result, dict):
        raise errors.bad_request("a merge patch must be an object")
    return result


def _strategic_patch(call: Call, current: Object, patch: Any) -> Object:
    node = call.served.node(call.info.version)
    if call.served.custom or node is None:
        raise errors.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )
    return strategicpatch.apply(current, patch, node)


PATCHES: dict[str, Patch] = {
    "application/json-patch+json": _json_patch,
    "application/merge-patch+json": _merge_patch,
    "application/strategic-merge-patch+json": _strategic_patch,
}


async def patch(call: Call) -> Response:
    """Change an object, or (server-side apply) create it if it is not there."""
    media = body.media_type(call)
    context = call.write_context()
    form, content_type = call.form()
    if media == APPLY:
        value, status = await _apply(call, context)
    else:
        value, status = await _patch(call, context, media), 200
    return Response(form.one(value), status, content_type, body.warning_headers(context))


async def _patch(call: Call, context: WriteContext, media: str) -> bytes:
    function = PATCHES.get(media)
    if function is None:
        raise errors.unsupported_media_type(
            f"the body of the request was in an unknown format ({media}) - accepted media types include: "
            + ", ".join([*PATCHES, APPLY])
        )
    if call.request.flag("force"):
        options.refuse("PatchOptions", [causes.forbidden("force", "may not be specified for non-apply patch")])
    document, _ = decode.decode(call.request.body, "application/json")

    def change(current: Object) -> Object:
        new = function(call, call.from_stored(current), document)
        _check_identity(call, new)
        return call.to_stored(new)

    return await call.server.storage.update(call.stored, call.key, change, context)


async def _apply(call: Call, context: WriteContext) -> tuple[bytes, int]:
    """Server-side apply: the bytes of what came of it, and 201 if that is new, else 200."""
    applied = _read_applied(call, context)
    creates = call.server.store.head(call.key) is None
    if creates:
        _check_creation(call)
    owner: dict[str, Any] = {
        "node": schema.node_for(call.stored, context),
        "manager": call.request.query["fieldManager"],
        "force": call.request.flag("force"),
        "api_version": call.stored.kind.api_version(context.version),
        "time": clock.timestamp(),
        "subresource": call.info.subresource,
        "reset_fields": _reset_fields(call, applied),
    }
    storage = call.server.storage
    if creates:
        created = _name(call, serversideapply.apply(None, applied, **owner))
        return await storage.create(call.stored, created, context), 201
    change = lambda current: serversideapply.apply(current, applied, **owner)  # noqa: E731
    return await storage.update(call.stored, call.key, change, context), 200


def _read_applied(call: Call, context: WriteContext) -> Object:
    """The configuration in the body. Raises StatusError 400, 422."""
    if not call.request.query.get("fieldManager"):
        options.refuse("PatchOptions", [causes.required("fieldManager", "is required for apply patch")])
    context.operation = "Apply"
    strict = context.field_validation != "Ignore"
    applied, duplicates = decode.decode(call.request.body, "application/yaml", find_duplicates=strict)
    body.report_duplicates(duplicates, context)
    if not isinstance(applied, dict):
        raise errors.bad_request("an apply patch must be an object")
    _check_identity(call, applied)
    return call.to_stored(applied)


def _name(call: Call, created: Object) -> Object:
    """A new object gets name and namespace of the path. Raises StatusError 409 if it wants to be one that was there."""
    created["metadata"]["name"] = call.info.name
    if call.served.kind.namespaced:
        created["metadata"]["namespace"] = call.info.namespace
    if (created["metadata"].get("uid") or "") != "":
        why = "Precondition failed: the object does not exist"
        raise errors.conflict(call.served.kind.group, call.served.kind.plural, call.info.name, why)
    return created


def _check_creation(call: Call) -> None:
    """An apply that creates is a creation too, and of a whole object. Raises StatusError 403, 404."""
    info = call.info
    if info.subresource:
        raise errors.not_found(call.served.kind.group, call.served.kind.plural, info.name)
    attributes = rbac.Attributes(
        "create", info.group, info.version, info.resource, namespace=info.namespace, name=info.name
    )
    if not call.server.authorizer.allows(call.user, attributes):
        raise forbidden(call.user, attributes)


def _reset_fields(call: Call, applied: Object) -> list[tuple[str, ...]]:
    """What a write to this path leaves as it is, so that applying it owns nothing and meets no conflict."""
    stored = call.stored
    if call.info.subresource == "status":
        return [(f"f:{name}",) for name in applied if name not in ("apiVersion", "kind", "metadata", "status")]
    writes_status = bool(call.info.subresource) or not stored.kind.status or stored.strategy.keeps_status
    return [] if writes_status else [("f:status",)]


def _check_identity(call: Call, obj: Object) -> None:
    """A patch may not make another object of it."""
    kind, metadata = call.served.kind, obj.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata: must be an object")
    for field, wanted in (("name", call.info.name), ("namespace", call.info.namespace if kind.namespaced else "")):
        given = metadata.get(field)
        if given and given != wanted:
            raise errors.bad_request(
                f"the {field} of the object ({given}) does not match the {field} on the URL ({wanted})"
            )
    body.check_kind(call, dict(obj))
