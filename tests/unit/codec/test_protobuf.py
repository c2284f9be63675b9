"""Kubernetes protobuf bodies, against what a real kubectl sent and against an encoder that writes as Go does."""

import base64
import contextlib
import json
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.codec import protobuf
from isthmus.kinds import catalogue

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/protobuf/kubectl-1.32.json").read_text())
TABLES = catalogue.protobuf_tables()


@pytest.mark.parametrize("name", GOLDEN)
def test_what_kubectl_sends_is_the_object_that_it_means(name):
    row = GOLDEN[name]
    assert protobuf.decode(base64.b64decode(row["body"]), TABLES) == row["object"]


# --- an encoder as Go's: scalars without a pointer are always written, pointers only when set ---


def varint(number):
    number &= (1 << 64) - 1
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def tagged(number, wire, data):
    return varint(number << 3 | wire) + (varint(len(data)) + data if wire == 2 else data)


def scalar(kind, value):
    if kind in ("bool", "int32", "int64"):
        return 0, varint(int(value))
    if kind == "double":
        return 1, struct.pack("<d", value)
    if kind == "bytes":
        return 2, base64.b64decode(value)
    if kind == "string":
        return 2, value.encode()
    if kind == "quantity":
        return 2, tagged(1, 2, value.encode())
    if kind == "int-or-string":
        if isinstance(value, str):
            return 2, tagged(1, 0, varint(1)) + tagged(2, 0, varint(0)) + tagged(3, 2, value.encode())
        return 2, tagged(1, 0, varint(0)) + tagged(2, 0, varint(value)) + tagged(3, 2, b"")
    if kind == "raw":
        return 2, tagged(1, 2, json.dumps(value).encode())
    if kind == "strings":
        return 2, b"".join(tagged(1, 2, item.encode()) for item in value)
    if kind in ("time", "microtime"):
        seconds, micros = value
        return 2, tagged(1, 0, varint(seconds)) + tagged(2, 0, varint(micros * 1000))
    raise AssertionError(kind)


def encode(kind, value):
    """(wire type, payload) of a value as `values` draws them: (message fields) are {number: drawn}."""
    return (2, message(kind, value)) if isinstance(value, dict) and kind != "raw" else scalar(kind, value)


def message(name, drawn):
    out = b""
    for number, value in drawn.items():
        kind = TABLES.message(name)[number].type
        if kind.startswith("[]"):
            for item in value:
                wire, data = encode(kind[2:], item)
                out += tagged(number, wire, data)
        elif kind.startswith("map["):
            for key, item in value:
                wire, data = encode(kind[4:-1], item)
                out += tagged(number, 2, tagged(1, 2, key.encode()) + tagged(2, wire, data))
        else:
            wire, data = encode(kind, value)
            out += tagged(number, wire, data)
    return out


TEXT = st.text(max_size=6)
SCALARS = {
    "string": TEXT,
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.integers(-1000, 1000).map(lambda n: n / 4),
    "bytes": st.binary(max_size=6).map(lambda b: base64.b64encode(b).decode()),
    "quantity": st.sampled_from(["0", "100m", "1Gi", "2"]),
    "int-or-string": st.one_of(st.integers(-5, 70000), st.sampled_from(["http", "50%"])),
    "raw": st.sampled_from([{"a": [1, None]}, {"kind": "X"}]),
    "strings": st.lists(TEXT, max_size=2),
    "time": st.tuples(st.integers(1, 4_000_000_000), st.just(0)),
    "microtime": st.tuples(st.integers(1, 4_000_000_000), st.integers(0, 999_999)),
}


@st.composite
def values(draw, kind, depth):
    if kind in SCALARS:
        return draw(SCALARS[kind])
    fields = TABLES.message(kind)
    usable = [n for n, f in fields.items() if depth > 0 or base_type(f.type) in SCALARS]
    usable = [n for n in usable if not base_type(fields[n].type).startswith(("schema-", "duration"))]
    chosen = draw(st.lists(st.sampled_from(sorted(usable)), unique=True, max_size=5)) if usable else []
    out = {}
    for number in chosen:
        kind = fields[number].type
        inner = values(base_type(kind), depth - 1)
        if kind.startswith("[]"):
            out[number] = draw(st.lists(inner, min_size=1, max_size=2))
        elif kind.startswith("map["):
            out[number] = draw(st.lists(st.tuples(TEXT, inner), min_size=1, max_size=2, unique_by=lambda e: e[0]))
        else:
            out[number] = draw(inner)
    return out


def base_type(kind):
    return kind.removeprefix("[]").removeprefix("map[").removesuffix("]")


def json_form(kind, value):
    if kind in ("time", "microtime"):
        at = datetime.fromtimestamp(value[0], UTC).replace(microsecond=value[1])
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if kind == "microtime" else "%Y-%m-%dT%H:%M:%SZ")
    if kind == "double":
        return int(value) if float(value).is_integer() else value
    if kind in SCALARS:
        return value
    out = {}
    for number, drawn in value.items():
        field = TABLES.message(kind)[number]
        if field.type.startswith("[]"):
            out[field.name] = [json_form(field.type[2:], item) for item in drawn]
        elif field.type.startswith("map["):
            out[field.name] = {key: json_form(field.type[4:-1], item) for key, item in drawn}
        else:
            found = json_form(field.type, drawn)
            if field.name == ".":
                out |= found
            elif field.mark or not (found in ("", 0, False, {}) or found is None):
                out[field.name] = found
    return out


def envelope(api_version, kind, payload, encoding=b""):
    meta = tagged(1, 2, api_version.encode()) + tagged(2, 2, kind.encode())
    unknown = tagged(1, 2, meta) + tagged(2, 2, payload) + tagged(3, 2, encoding) + tagged(4, 2, b"")
    return protobuf.MAGIC + unknown


KINDS = ["Pod", "Node", "PersistentVolume", "Service", "Event", "Secret", "ConfigMap"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_what_an_encoder_like_gos_writes_comes_back(data):
    kind = data.draw(st.sampled_from(KINDS))
    name = TABLES.find("v1", kind)
    drawn = data.draw(values(name, 3))
    body = envelope("v1", kind, message(name, drawn))
    assert protobuf.decode(body, TABLES) == {"apiVersion": "v1", "kind": kind} | json_form(name, drawn)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_a_damaged_body_is_decoded_or_refused_by_name(name, data):
    body = bytearray(base64.b64decode(GOLDEN[name]["body"]))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(protobuf.ProtobufError):
        protobuf.decode(bytes(body[: data.draw(st.integers(0, len(body)))]), TABLES)


# --- what a zero means, and single types ---


def deployment(spec):
    name = "io.k8s.api.apps.v1.Deployment"
    return protobuf.decode(envelope("apps/v1", "Deployment", message(name, {2: spec})), TABLES).get("spec")


def test_a_zero_behind_a_pointer_was_meant():
    assert deployment({1: 0}) == {"replicas": 0}


def test_a_zero_without_a_pointer_is_unset():
    assert deployment({5: 0, 7: False}) is None


def test_an_empty_volume_source_is_kept():
    pod = message("io.k8s.api.core.v1.Pod", {2: {1: [{1: "v", 2: {2: {}}}]}})
    assert protobuf.decode(envelope("v1", "Pod", pod), TABLES)["spec"] == {"volumes": [{"name": "v", "emptyDir": {}}]}


def test_negative_numbers_of_32_bits_travel_as_64():
    pod = message("io.k8s.api.core.v1.Pod", {2: {25: -7}})
    assert protobuf.decode(envelope("v1", "Pod", pod), TABLES)["spec"] == {"priority": -7}


def test_unknown_fields_are_passed_over():
    body = envelope("v1", "Namespace", tagged(999, 2, b"new") + tagged(998, 0, varint(5)) + tagged(997, 5, b"abcd"))
    assert protobuf.decode(body, TABLES) == {"apiVersion": "v1", "kind": "Namespace"}


def test_delete_options_have_the_version_of_any_group():
    for api_version in ("v1", "apps/v1", "meta.k8s.io/v1", "kubevirt.io/v1"):
        body = envelope(api_version, "DeleteOptions", tagged(4, 2, b"Background"))
        assert protobuf.decode(body, TABLES)["propagationPolicy"] == "Background"


def test_a_crd_schema_with_its_unions_is_decoded():
    schema = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    text = tagged(5, 2, b"string")
    props = (
        tagged(24, 2, tagged(1, 2, text))
        + tagged(30, 2, tagged(1, 0, varint(0)))
        + tagged(33, 2, tagged(2, 2, text))
        + tagged(32, 2, tagged(1, 2, b"x") + tagged(2, 2, tagged(2, 2, b"y")))
        + tagged(38, 0, varint(0))
    )
    decoder = protobuf._Decoder(TABLES)
    assert decoder.message(props, schema, 0) == {
        "items": {"type": "string"},
        "additionalProperties": False,
        "additionalItems": {"type": "string"},
        "dependencies": {"x": ["y"]},
        "x-kubernetes-preserve-unknown-fields": False,
    }


def test_packed_numbers_are_understood():
    claims = tagged(4, 2, varint(1000) + varint(2000))  # PodSecurityContext.supplementalGroups
    pod = tagged(2, 2, tagged(14, 2, claims))
    spec = protobuf.decode(envelope("v1", "Pod", pod), TABLES)["spec"]
    assert spec == {"securityContext": {"supplementalGroups": [1000, 2000]}}


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (300_000_000, "300ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (5_400_000_000_000, "1h30m0s"),
        (-2_000_000_000, "-2s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds, text):
    assert protobuf.go_duration(nanoseconds) == text


# --- hostile bodies ---


@pytest.mark.parametrize(
    ("body", "message_part"),
    [
        (b"{}", "does not begin"),
        (protobuf.MAGIC + b"\x0a\xff", "announced|within a number"),
        (protobuf.MAGIC + b"\x0a" + b"\xff" * 11, "64 bits"),
        (protobuf.MAGIC + b"\x00\x00", "number 0"),
        (protobuf.MAGIC + b"\x0b", "wire type 3"),
        (envelope("v1", "Pod", b"", b"gzip"), "content encoding"),
        (envelope("kubevirt.io/v1", "VirtualMachine", b""), "no protobuf form"),
        (envelope("v1", "Pod", tagged(1, 0, varint(3))), "wire type 0"),
        (envelope("v1", "ConfigMap", tagged(1, 2, tagged(1, 2, b"\xff"))), "not UTF-8"),
        (b"k8s\0" + b"x" * (4 << 20), "limit"),
    ],
)
def test_a_hostile_body_is_refused(body, message_part):
    with pytest.raises(protobuf.ProtobufError, match=message_part):
        protobuf.decode(body, TABLES)


def test_nesting_is_bounded():
    schema = b""
    for _ in range(200):
        schema = tagged(28, 2, schema)  # JSONSchemaProps.not
    body = envelope(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        tagged(2, 2, tagged(7, 2, tagged(4, 2, tagged(1, 2, schema)))),
    )
    with pytest.raises(protobuf.ProtobufError, match="deep"):
        protobuf.decode(body, TABLES)


def test_the_number_of_fields_is_bounded():
    body = envelope("v1", "Pod", tagged(2, 2, tagged(2, 2, b"") * 300_000))
    with pytest.raises(protobuf.ProtobufError, match="fields"):
        protobuf.decode(body, TABLES)


def test_every_message_refers_to_messages_that_there_are():
    for name, rows in TABLES._messages.items():
        for field_name, kind, mark in rows.values():
            base = base_type(kind)
            assert base in protobuf._SCALARS or base in protobuf._SPECIAL or base in TABLES._messages, (
                name,
                field_name,
            )
            assert mark in ("", "?", "!")


def test_messages_and_definitions_have_the_same_fields():
    """Both are Kubernetes 1.36: a field that only one of them has is a mistake of ours."""
    for name, rows in TABLES._messages.items():
        if name not in catalogue.DEFINITIONS:
            continue
        known = set(catalogue.DEFINITIONS[name].get("properties", ()))
        found = set()
        for field_name, kind, _mark in rows.values():
            found |= {r[0] for r in inlined(kind)} if field_name == "." else {field_name}
        if known:
            assert found | {"apiVersion", "kind"} == known | {"apiVersion", "kind"}, name


def inlined(kind):
    for row in TABLES._messages[kind].values():
        yield from inlined(row[1]) if row[0] == "." else [row]
