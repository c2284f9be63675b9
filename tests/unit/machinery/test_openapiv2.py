"""OpenAPI v2 made of v3: what v2 cannot say is left out in the way that kubectl's parser can live with."""

import pytest

from isthmus.machinery import openapiv2


@pytest.mark.parametrize(
    ("v3", "v2"),
    [
        ({"type": "string", "description": "d"}, {"type": "string", "description": "d"}),
        ({"$ref": "#/components/schemas/a.B"}, {"$ref": "#/definitions/a.B"}),
        (
            {"allOf": [{"$ref": "#/components/schemas/a.B"}], "description": "d"},
            {"$ref": "#/definitions/a.B", "description": "d"},
        ),
        ({"type": "string", "nullable": True}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "nullable": True}, {}),
        ({"type": "array"}, {}),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"oneOf": [{"type": "integer"}], "x-kubernetes-int-or-string": True}, {"x-kubernetes-int-or-string": True}),
        (
            {"type": "object", "additionalProperties": {"nullable": True, "type": "string"}},
            {"type": "object", "additionalProperties": {}},
        ),
        (
            {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"a": {}},
                "required": ["a"],
            },
            {"x-kubernetes-preserve-unknown-fields": True},
        ),
    ],
)
def test_a_schema_is_said_in_the_words_of_v2(v3, v2) -> None:
    assert openapiv2.schema(v3) == v2


def test_a_quantity_and_an_int_or_string_are_text() -> None:
    raw = {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string", "description": "d"}
    shown = openapiv2.definition("io.k8s.apimachinery.pkg.util.intstr.IntOrString", raw)
    assert shown == {"type": "string", "format": "int-or-string", "description": "d"}


def test_the_body_of_an_operation_becomes_a_parameter() -> None:
    schema = {"$ref": "#/components/schemas/a.B"}
    v3 = {
        "operationId": "create",
        "parameters": [{"name": "dryRun", "in": "query", "schema": {"type": "string"}}],
        "requestBody": {"content": {"*/*": {"schema": schema}}, "required": True},
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
        "x-kubernetes-action": "post",
    }
    shown = openapiv2.operation(v3)
    assert shown["parameters"] == [
        {"name": "dryRun", "in": "query", "type": "string"},
        {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/a.B"}},
    ]
    assert shown["consumes"] == ["*/*"] and shown["produces"] == ["application/json"]
    assert shown["responses"] == {"200": {"description": "OK", "schema": {"$ref": "#/definitions/a.B"}}}
