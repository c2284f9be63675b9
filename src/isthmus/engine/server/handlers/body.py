"""Request bodies (JSON, YAML, Kubernetes protobuf) to an object that fits the path. Called by the writing verbs."""

from typing import Any

from isthmus.codec import protobuf
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.context import Call
from isthmus.kinds import catalogue
from isthmus.machinery import decode, errors

Object = dict[str, Any]


def media_type(call: Call) -> str:
    """The body's media type without parameters."""
    return call.request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


def read_object(call: Call, context: WriteContext) -> Object:
    """The object in the body, its kind, name and namespace checked against the path. Raises StatusError 400, 415."""
    obj = read_any(call, context)
    _check_kind(call, obj)
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata: must be an object")
    _fit_namespace(call, metadata)
    return obj


def read_any(call: Call, context: WriteContext) -> Object:
    """The object in the body, whatever it is."""
    media, body = media_type(call), call.request.body
    if media == "application/vnd.kubernetes.protobuf":
        try:
            return protobuf.decode(body, catalogue.protobuf_tables())
        except protobuf.ProtobufError as error:
            raise errors.bad_request(f"the protobuf body cannot be decoded: {error}") from error
    strict = context.field_validation != "Ignore"
    obj, duplicates = decode.decode(body, media, find_duplicates=strict)
    if duplicates:
        listing = [f'duplicate field "{path}"' for path in duplicates]
        if context.field_validation == "Strict":
            raise errors.bad_request(f"strict decoding error: {', '.join(listing)}")
        context.warnings.extend(listing)
    if not isinstance(obj, dict):
        raise errors.bad_request("the body must be an object")
    return obj


def _check_kind(call: Call, obj: Object) -> None:
    kind, info = call.served.kind, call.info
    expected = kind.api_version(info.version)
    api_version, name = obj.get("apiVersion") or expected, obj.get("kind") or kind.kind
    if (api_version, name) != (expected, kind.kind):
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of kind {kind.kind} in {expected}, not {name} in {api_version})"
        )
    obj["apiVersion"], obj["kind"] = expected, kind.kind


def _fit_namespace(call: Call, metadata: Object) -> None:
    if not call.served.kind.namespaced:
        metadata.pop("namespace", None)
        return
    wanted = call.info.namespace
    given = metadata.get("namespace") or wanted
    if wanted and given != wanted:
        raise errors.bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request: {given}, {wanted}"
        )
    if not given:
        raise errors.bad_request("an empty namespace may not be set during creation")
    metadata["namespace"] = given


def warning_headers(context: WriteContext) -> tuple[tuple[str, str], ...]:
    """`Warning: 299` headers (RFC 7234, section 5.5) of what was noticed on the way."""
    quoted = (w.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for w in context.warnings)
    return tuple(("warning", f'299 - "{w}"') for w in quoted)
