"""Swagger as protobuf: bytes by hand, and every name that our documents use must be in the tables."""

import pytest

from isthmus.codec import gnostic


@pytest.mark.parametrize(
    ("name", "value", "encoded"),
    [
        ("swagger", "2.0", b"\x0a\x032.0"),
        ("info", {"title": "K", "version": "u"}, b"\x12\x06\x0a\x01K\x12\x01u"),
        # Definitions{ NamedSchema{ name, Schema{ type: TypeItem{ "string" } } } }
        ("definitions", {"A": {"type": "string"}}, b"\x4a\x12\x0a\x10\x0a\x01A\x12\x0b\xb2\x01\x08\x0a\x06string"),
        # vendor_extension: NamedAny{ name, Any{ yaml } }
        ("definitions", {"A": {"x-": 1}}, b"\x4a\x13\x0a\x11\x0a\x01A\x12\x0c\xfa\x01\x09\x0a\x02x-\x12\x03\x12\x011"),
        ("definitions", {"A": {"minLength": 300}}, b"\x4a\x0a\x0a\x08\x0a\x01A\x12\x03\x60\xac\x02"),
        ("definitions", {"A": {"maximum": 1}}, b"\x4a\x10\x0a\x0e\x0a\x01A\x12\x09\x39\0\0\0\0\0\0\xf0\x3f"),
        ("security", [{"B": []}], b"\x62\x07\x0a\x05\x0a\x01B\x12\x00"),
    ],
)  # fmt: skip
def test_a_field_is_written_as_gnostic_reads_it(name, value, encoded) -> None:
    assert gnostic.field(name, value) == encoded


def test_a_parameter_is_written_by_where_it_is() -> None:
    query = gnostic.field("paths", {"/": {"parameters": [{"name": "a", "in": "query", "type": "string"}]}})
    # PathItem.parameters 9 > ParametersItem.parameter 1 > Parameter.non_body 2 > NonBody.query 3 > name 4, in 2, type 6
    assert b"\x4a\x18\x0a\x16\x12\x14\x1a\x12\x22\x01a\x12\x05query\x32\x06string" in query
    body = gnostic.field("paths", {"/": {"parameters": [{"name": "body", "in": "body"}]}})
    assert b"\x0a\x0c\x12\x04body\x1a\x04body" in body


def test_what_has_no_field_in_a_message_is_left_out() -> None:
    assert gnostic.field("definitions", {"A": {"oneOf": [{}]}}) == b"\x4a\x07\x0a\x05\x0a\x01A\x12\x00"
