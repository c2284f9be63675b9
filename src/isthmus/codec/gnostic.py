"""Swagger 2.0 documents as protobuf: the messages of openapi.v2 (gnostic), which kubectl asks `/openapi/v2` for.

A document has thousands of paths and schemas, so it is written in parts: the encoding of a message is that of its
fields one behind the other, and a message that comes in several parts is merged by whoever reads it (protobuf.dev,
"Encoding", last one wins). So `field` may give "paths" and "definitions" an entry at a time.

A row of a message's table is JSON name -> (number, type). Types: `string`, `bool`, `int`, `double`; `any` (a JSON
value, as the text that gnostic parses as YAML); a message's name; `[T]` repeated; `{T}` an object as a message of
repeated name-value pairs; `N>T` a `T` in field N of a message of its own (protobuf's oneof, or a list's wrapper).
Names that begin with `x-` are vendor extensions: `VENDOR` has their number in each message.

Called by: the server's OpenAPI. Source: google/gnostic, openapiv2/OpenAPIv2.proto.
"""

import struct
from typing import Any

import orjson

Object = dict[str, Any]

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_PLACES = {"header": 1, "formData": 2, "query": 3, "path": 4}  # the cases of NonBodyParameter by a parameter's `in`

_PARAMETER = {"required": (1, "bool"), "in": (2, "string"), "description": (3, "string"), "name": (4, "string")}
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "{Schema}"),
        "security": (12, "[{Strings}]"),
        "securityDefinitions": (13, "{2>ApiKeySecurity}"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "ApiKeySecurity": {
        "type": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "description": (4, "string"),
    },
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "options": (6, "Operation"),
        "head": (7, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "[1>Parameter]"),
    },
    "Operation": {
        "tags": (1, "[string]"),
        "summary": (2, "string"),
        "description": (3, "string"),
        "operationId": (5, "string"),
        "produces": (6, "[string]"),
        "consumes": (7, "[string]"),
        "parameters": (8, "[1>Parameter]"),
        "responses": (9, "{1>Response}"),
        "schemes": (10, "[string]"),
        "deprecated": (11, "bool"),
    },
    "BodyParameter": {
        "description": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
    },
    "query": {**_PARAMETER, "type": (6, "string"), "format": (7, "string"), "uniqueItems": (20, "bool")},
    "path": {**_PARAMETER, "type": (5, "string"), "format": (6, "string"), "uniqueItems": (19, "bool")},
    "Response": {"description": (1, "string"), "schema": (2, "1>Schema")},
    "Schema": {
        "$ref": (1, "string"),
        "format": (2, "string"),
        "title": (3, "string"),
        "description": (4, "string"),
        "default": (5, "any"),
        "multipleOf": (6, "double"),
        "maximum": (7, "double"),
        "exclusiveMaximum": (8, "bool"),
        "minimum": (9, "double"),
        "exclusiveMinimum": (10, "bool"),
        "maxLength": (11, "int"),
        "minLength": (12, "int"),
        "pattern": (13, "string"),
        "maxItems": (14, "int"),
        "minItems": (15, "int"),
        "uniqueItems": (16, "bool"),
        "maxProperties": (17, "int"),
        "minProperties": (18, "int"),
        "required": (19, "[string]"),
        "enum": (20, "[any]"),
        "additionalProperties": (21, "1>Schema"),
        "type": (22, "1>string"),
        "items": (23, "1>Schema"),
        "allOf": (24, "[Schema]"),
        "properties": (25, "{Schema}"),
        "example": (30, "any"),
    },
    "Strings": {},
}
VENDOR = {"Operation": 13, "PathItem": 10, "Schema": 31}


def field(name: str, value: Any) -> bytes:
    """One field of the document, or a part of one."""
    number, kind = MESSAGES["Document"][name]
    return _field(number, kind, value)


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind.startswith("["):
        return b"".join([_field(number, kind[1:-1], item) for item in value])
    if kind == "bool":
        return _varint(number << 3 | _VARINT) + _varint(int(value))
    if kind == "int":
        return _varint(number << 3 | _VARINT) + _varint(value & (1 << 64) - 1)
    if kind == "double":
        return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
    return _bytes(number, _message(kind, value))


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _message(kind: str, value: Any) -> bytes:
    """The content of a length-delimited field."""
    if kind == "string":
        return str(value).encode()
    if kind == "any":
        return _bytes(2, orjson.dumps(value))
    if kind == "Paths":
        return b"".join([_named(2, name, "PathItem", item) for name, item in value.items()])
    if kind == "Parameter":
        return _parameter(value)
    if kind.startswith("{"):
        return b"".join([_named(1, name, kind[1:-1], item) for name, item in value.items()])
    if kind[0].isdigit():
        number, _, inner = kind.partition(">")
        return _field(int(number), inner, value)
    return _fields(kind, value)


def _named(number: int, name: str, kind: str, value: Any) -> bytes:
    return _bytes(number, _bytes(1, name.encode()) + _field(2, kind, value))


def _parameter(value: Object) -> bytes:
    place = value["in"]
    if place == "body":
        return _bytes(1, _fields("BodyParameter", value))
    return _bytes(2, _bytes(_PLACES[place], _fields(place, value)))


def _fields(kind: str, value: Object) -> bytes:
    table, vendor = MESSAGES[kind], VENDOR.get(kind)
    out = []
    for name, item in value.items() if isinstance(value, dict) else ():
        if (row := table.get(name)) is not None:
            out.append(_field(*row, item))
        elif vendor is not None and name.startswith("x-"):
            out.append(_named(vendor, name, "any", item))
    return b"".join(out)
