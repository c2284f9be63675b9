r"""Kubernetes' protobuf bodies (`application/vnd.kubernetes.protobuf`) to the JSON form of the same object.

A body is the magic `k8s\0`, then runtime.Unknown{1 typeMeta{1 apiVersion, 2 kind}, 2 raw, 3 contentEncoding, 4
contentType}; `raw` is the message of that kind. What a message holds is told by `Tables`, one field a row: number, JSON
name, type and mark. The mark says what a zero means: "?" (a pointer in Go) that zero was set, "" that the field is
unset, "!" that Go writes the zero all the same. A field named "." is inlined.

Called by: the server's body reader, with `kinds.catalogue.protobuf_tables()`. Bounded in depth, bytes and fields.
`decode` raises ProtobufError and nothing else. Sources: apimachinery, pkg/runtime/serializer/protobuf; protobuf.dev,
"Encoding".
"""

import base64
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson

Object = dict[str, Any]

MAGIC = b"k8s\x00"
MAX_BYTES = 3 << 20
MAX_DEPTH = 64
MAX_FIELDS = 250_000
SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProtobufError(ValueError):
    """The body is not what it says it is. `str()` says what is wrong, and where it can be told, at which byte."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    type: str
    mark: str


class Tables(Protocol):
    """What the codec must know of Kubernetes' messages."""

    def find(self, api_version: str, kind: str) -> str | None:
        """The message of a kind; None if it has no protobuf form."""

    def message(self, name: str) -> Mapping[int, Field]:
        """The fields of a message by number. Raises KeyError if there is no such message."""


def decode(body: bytes, tables: Tables, *, max_bytes: int = MAX_BYTES) -> Object:
    """The object in a body, with apiVersion and kind. Raises ProtobufError."""
    if len(body) > max_bytes:
        raise ProtobufError(f"{len(body)} bytes are more than the limit of {max_bytes}")
    return _Decoder(tables).envelope(body, 0)


class _Decoder:
    """One body: counts its fields, and holds the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._fields = 0

    def envelope(self, body: bytes, depth: int) -> Object:
        if not body.startswith(MAGIC):
            raise ProtobufError(f"the body does not begin with {MAGIC!r}")
        unknown = self._unwrap(body)
        meta = dict.fromkeys((1, 2), "")
        for number, wire, value in self._scan(unknown.get(1, b"")):
            if number in meta:
                meta[number] = _text(value, wire)
        api_version, kind = meta[1], meta[2]
        name = self._tables.find(api_version, kind)
        if name is None:
            raise ProtobufError(f"there is no protobuf form of kind {kind!r} in {api_version!r}")
        return {"apiVersion": api_version, "kind": kind} | self.message(unknown.get(2, b""), name, depth + 1)

    def _unwrap(self, body: bytes) -> dict[int, bytes]:
        """The fields of runtime.Unknown."""
        out = {number: value for number, wire, value in self._scan(body[len(MAGIC) :]) if wire == _BYTES}
        if encoding := out.get(3):
            raise ProtobufError(f"content encoding {encoding[:40]!r} is not supported")
        return out

    def _scan(self, data: bytes) -> list[tuple[int, int, Any]]:
        """(number, wire type, value) of every field of one message."""
        out: list[tuple[int, int, Any]] = []
        place, end = 0, len(data)
        while place < end:
            tag, place = _varint(data, place)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise ProtobufError(f"at byte {place}: a field with the number 0")
            value, place = _value(data, place, wire)
            out.append((number, wire, value))
        self._fields += len(out)
        if self._fields > MAX_FIELDS:
            raise ProtobufError(f"there are more than {MAX_FIELDS} fields")
        return out

    def message(self, data: bytes, name: str, depth: int) -> Object:
        """The JSON form of a message."""
        if depth > MAX_DEPTH:
            raise ProtobufError(f"messages are nested more than {MAX_DEPTH} deep")
        try:
            fields = self._tables.message(name)
        except KeyError as error:
            raise ProtobufError(f"there is no message {name}") from error
        out: Object = {}
        for number, wire, value in self._scan(data):
            field = fields.get(number)
            if field is not None:
                self._put(out, field, wire, value, depth)
        return out

    def _put(self, out: Object, field: Field, wire: int, value: Any, depth: int) -> None:
        if field.type.startswith("[]"):
            self._append(out.setdefault(field.name, []), field.type[2:], wire, value, depth)
        elif field.type.startswith("map["):
            key, item = self._entry(value, wire, field.type[4:-1], depth)
            out.setdefault(field.name, {})[key] = item
        else:
            found = self._single(field.type, wire, value, depth)
            if field.name == ".":
                out.update(found if isinstance(found, dict) else {})
            elif field.mark == "?" or (field.mark == "!" and found is not None) or not _is_zero(found, field.type):
                out[field.name] = found
            else:
                out.pop(field.name, None)

    def _append(self, items: list[Any], kind: str, wire: int, value: Any, depth: int) -> None:
        if wire == _BYTES and kind in _NUMBERS:  # packed: many numbers in one field
            place = 0
            while place < len(value):
                number, place = _value(value, place, _NUMBERS[kind])
                items.append(self._single(kind, _NUMBERS[kind], number, depth))
                self._fields += 1
                if self._fields > MAX_FIELDS:
                    raise ProtobufError(f"there are more than {MAX_FIELDS} fields")
            return
        items.append(self._single(kind, wire, value, depth))

    def _entry(self, value: Any, wire: int, kind: str, depth: int) -> tuple[str, Any]:
        """An entry of a map: {1 key, 2 value}; a missing one is its type's zero."""
        key, item = "", self._zero(kind)
        for number, part_wire, part in self._scan(_need(value, wire, _BYTES)):
            if number == 1:
                key = _text(part, part_wire)
            elif number == 2:
                item = self._single(kind, part_wire, part, depth)
        return key, item

    def _zero(self, kind: str) -> Any:
        return _ZEROS.get(kind, {})

    def _single(self, kind: str, wire: int, value: Any, depth: int) -> Any:
        if scalar := _SCALARS.get(kind):
            return scalar(value, wire)
        data = _need(value, wire, _BYTES)
        if special := _SPECIAL.get(kind):
            return special(self, data, depth + 1)
        return self.message(data, kind, depth + 1)

    # --- types whose JSON is not that of their message ---

    def _parts(self, data: bytes) -> dict[int, tuple[Any, int]]:
        return {number: (value, wire) for number, wire, value in self._scan(data)}

    def time(self, data: bytes, _depth: int) -> str | None:
        return self._time(data, micro=False)

    def microtime(self, data: bytes, _depth: int) -> str | None:
        return self._time(data, micro=True)

    def _time(self, data: bytes, *, micro: bool) -> str | None:
        parts = self._parts(data)
        seconds, nanos = _signed(*parts.get(1, (0, _VARINT))), _signed(*parts.get(2, (0, _VARINT)))
        if not seconds and not nanos:
            return None
        try:
            at = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
        except OverflowError as error:
            raise ProtobufError(f"a time of {seconds} seconds since 1970") from error
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")

    def duration(self, data: bytes, _depth: int) -> str:
        return go_duration(_signed(*self._parts(data).get(1, (0, _VARINT))))

    def quantity(self, data: bytes, _depth: int) -> str:
        return _text(*self._parts(data).get(1, (b"0", _BYTES)))

    def int_or_string(self, data: bytes, _depth: int) -> int | str:
        parts = self._parts(data)
        if _signed(*parts.get(1, (0, _VARINT))):
            return _text(*parts.get(3, (b"", _BYTES)))
        return _int32(*parts.get(2, (0, _VARINT)))

    def raw(self, data: bytes, depth: int) -> Any:
        """JSON inside of protobuf; an object of a built-in kind may be protobuf again."""
        value, wire = self._parts(data).get(1, (b"", _BYTES))
        content = _need(value, wire, _BYTES)
        if not content:
            return None
        if content.startswith(MAGIC):
            if depth > MAX_DEPTH:
                raise ProtobufError(f"messages are nested more than {MAX_DEPTH} deep")
            return self.envelope(content, depth)
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise ProtobufError(f"embedded JSON cannot be read: {error}") from error

    def strings(self, data: bytes, _depth: int) -> list[str]:
        return [_text(value, wire) for number, wire, value in self._scan(data) if number == 1]

    def schema_or_array(self, data: bytes, depth: int) -> Any:
        schemas = [_need(value, wire, _BYTES) for number, wire, value in self._scan(data) if number == 2]
        if schemas:
            return [self.message(schema, SCHEMA, depth) for schema in schemas]
        return self.message(_need(*self._parts(data).get(1, (b"", _BYTES)), _BYTES), SCHEMA, depth)

    def schema_or_bool(self, data: bytes, depth: int) -> Any:
        parts = self._parts(data)
        if 2 in parts:
            return self.message(_need(*parts[2], _BYTES), SCHEMA, depth)
        return _bool(*parts.get(1, (0, _VARINT)))

    def schema_or_strings(self, data: bytes, depth: int) -> Any:
        parts = self._parts(data)
        if 1 in parts:
            return self.message(_need(*parts[1], _BYTES), SCHEMA, depth)
        return [_text(value, wire) for number, wire, value in self._scan(data) if number == 2]


_SPECIAL: dict[str, Callable[[_Decoder, bytes, int], Any]] = {
    "time": _Decoder.time,
    "microtime": _Decoder.microtime,
    "duration": _Decoder.duration,
    "quantity": _Decoder.quantity,
    "int-or-string": _Decoder.int_or_string,
    "raw": _Decoder.raw,
    "strings": _Decoder.strings,
    "schema-or-array": _Decoder.schema_or_array,
    "schema-or-bool": _Decoder.schema_or_bool,
    "schema-or-strings": _Decoder.schema_or_strings,
}


# --- wire format ---


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and the place after it."""
    result = shift = 0
    while True:
        if place >= len(data):
            raise ProtobufError(f"at byte {place}: the body ends within a number")
        byte = data[place]
        place += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, place
        shift += 7
        if shift > 63:
            raise ProtobufError(f"at byte {place}: a number of more than 64 bits")


def _value(data: bytes, place: int, wire: int) -> tuple[Any, int]:
    if wire == _VARINT:
        return _varint(data, place)
    if wire == _BYTES:
        length, place = _varint(data, place)
    elif wire in (_FIXED64, _FIXED32):
        length = 8 if wire == _FIXED64 else 4
    else:
        raise ProtobufError(f"at byte {place}: wire type {wire} is not used by Kubernetes")
    if length > len(data) - place:
        raise ProtobufError(f"at byte {place}: {length} bytes were announced, {len(data) - place} are left")
    return data[place : place + length], place + length


def _need(value: Any, wire: int, expected: int) -> Any:
    if wire != expected:
        raise ProtobufError(f"a field has wire type {wire} where {expected} was expected")
    return value


def _text(value: Any, wire: int) -> str:
    data: bytes = _need(value, wire, _BYTES)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtobufError(f"a string is not UTF-8: {error}") from error


def _signed(value: Any, wire: int) -> int:
    number: int = _need(value, wire, _VARINT)
    return number - (1 << 64) if number >> 63 else number


def _int32(value: Any, wire: int) -> int:
    number = _signed(value, wire) & 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def _bool(value: Any, wire: int) -> bool:
    return bool(_need(value, wire, _VARINT))


def _double(value: Any, wire: int) -> int | float:
    number: float = struct.unpack("<d", _need(value, wire, _FIXED64))[0]
    if number != number or number in (float("inf"), float("-inf")):
        raise ProtobufError("a number is not finite")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _base64(value: Any, wire: int) -> str:
    return base64.b64encode(_need(value, wire, _BYTES)).decode()


_SCALARS: dict[str, Callable[[Any, int], Any]] = {
    "string": _text,
    "bool": _bool,
    "int32": _int32,
    "int64": _signed,
    "double": _double,
    "bytes": _base64,
}
_NUMBERS = {"bool": _VARINT, "int32": _VARINT, "int64": _VARINT, "double": _FIXED64}
_ZEROS: dict[str, Any] = {
    "string": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "double": 0,
    "bytes": "",
    "quantity": "0",
}


def _is_zero(value: Any, kind: str) -> bool:
    """Whether Go would have left it out of JSON: the zero of a type without a pointer."""
    return value is None or value == {} or (value in ("", 0, False) and kind != "quantity")


def go_duration(nanoseconds: int) -> str:
    """time.Duration.String of Go: "1h30m0s", "1.5s", "300ms"."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < 1_000_000_000:
        unit, size = next((u, s) for u, s in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)) if rest >= s)
        return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, rest = divmod(rest, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    large = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{large}{_decimal(rest, 1_000_000_000)}s"


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    digits = len(str(size)) - 1
    text = f"{fraction:0{digits}d}".rstrip("0") if digits else ""
    return f"{whole}.{text}" if text else str(whole)
