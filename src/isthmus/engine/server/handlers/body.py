"""Request bodies (JSON, YAML, Kubernetes protobuf) to an object that fits the path. Called by the writing verbs."""

from functools import cache
from typing import Any

from isthmus.codec import protobuf
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.context import Call
from isthmus.kinds import catalogue
from isthmus.machinery import decode, errors, structuralschema
from isthmus.machinery.schema import Node

Object = dict[str, Any]


def media_type(call: Call) -> str:
    """The body's media type without parameters."""
    return call.request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


def read_object(call: Call, context: WriteContext) -> Object:
    """The object in the body, its kind, name and namespace checked against the path. Raises StatusError 400, 415."""
    obj, context.duplicates = _decode(call, context)
    check_kind(call, obj)
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata: must be an object")
    fit_namespace(call, metadata)
    return obj


def read_any(call: Call, context: WriteContext) -> Object:
    """The object in the body, whatever it is."""
    obj, duplicates = _decode(call, context)
    report_duplicates(duplicates, context)
    return obj


def _decode(call: Call, context: WriteContext) -> tuple[Object, list[str]]:
    """The object in the body, and what it has twice if that is to be refused (else it was warned about)."""
    media, body = media_type(call), call.request.body
    if media == "application/vnd.kubernetes.protobuf":
        try:
            return protobuf.decode(body, catalogue.protobuf_tables()), []
        except protobuf.ProtobufError as error:
            raise errors.bad_request(f"the protobuf body cannot be decoded: {error}") from error
    obj, duplicates = decode.decode(body, media, find_duplicates=context.field_validation != "Ignore")
    if not isinstance(obj, dict):
        raise errors.bad_request("the body must be an object")
    if context.field_validation != "Strict":
        report_duplicates(duplicates, context)
        duplicates = []
    return obj, duplicates


def report_duplicates(duplicates: list[str], context: WriteContext) -> None:
    """Warn about fields that occur twice, or refuse them, as `fieldValidation` says. Raises StatusError 400."""
    listing = [f'duplicate field "{path}"' for path in duplicates]
    if listing and context.field_validation == "Strict":
        raise errors.bad_request(f"strict decoding error: {', '.join(listing)}")
    context.warnings.extend(listing)


def read_as(call: Call, context: WriteContext, api_version: str, kind: str) -> Object:
    """The body as an object that is no resource of its own (DeleteOptions, Binding, Scale), its types checked.

    Fields that it does not know are dropped, and what is missing is nothing, as where Go decodes: kubectl sends reviews
    with half a status. Raises StatusError 400, for an object of another kind too.
    """
    obj = read_any(call, context)
    if (given := obj.get("kind")) not in (None, "", kind):
        raise errors.bad_request(f"the object in the body must be of kind {kind}, not {given}")
    node = _node(api_version, kind)
    if node is not None:
        structuralschema.prune(obj, node)
        found = structuralschema.validate(obj, node, keyed_lists=False)
        if wrong := [cause for cause in found if cause.reason != "FieldValueRequired"]:
            listing = ", ".join(f"{cause.field}: {cause.message}" for cause in wrong)
            raise errors.bad_request(f"{kind} in the body is not valid: {listing}")
    return obj


@cache
def _node(api_version: str, kind: str) -> Node | None:
    name = catalogue.definition_of(api_version, kind)
    return Node(catalogue.DEFINITIONS[name], catalogue.DEFINITIONS) if name else None


def check_kind(call: Call, obj: Object) -> None:
    """Refuse a body that is of another kind or version than the path; fill them in if they are not there."""
    kind, info = call.served.kind, call.info
    expected = kind.api_version(info.version)
    api_version, name = obj.get("apiVersion") or expected, obj.get("kind") or kind.kind
    if (api_version, name) != (expected, kind.kind):
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of kind {kind.kind} in {expected}, "
            f"not {name} in {api_version})"
        )
    obj["apiVersion"], obj["kind"] = expected, kind.kind


def fit_namespace(call: Call, metadata: Object) -> None:
    """Refuse an object that says it is in another namespace than the path; fill the namespace in."""
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


def warning_header(text: str) -> tuple[str, str]:
    """A `Warning: 299` header (RFC 7234, section 5.5)."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    return ("warning", f'299 - "{quoted}"')


def warning_headers(context: WriteContext) -> tuple[tuple[str, str], ...]:
    """The headers of what was noticed on the way, each once."""
    return tuple(map(warning_header, dict.fromkeys(context.warnings)))
