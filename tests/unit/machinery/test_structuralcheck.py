import pytest

from isthmus.machinery import structuralschema

STRING = {"type": "string"}


def check(spec, **root):
    found = structuralschema.check_structural({"type": "object", "properties": {"spec": spec}, **root}, "s")
    return [(c.field.removeprefix("s."), c.message) for c in found]


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        {"x-kubernetes-preserve-unknown-fields": True},
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+$"},
        {
            "x-kubernetes-int-or-string": True,
            "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "x"}],
        },
        {"type": "object", "additionalProperties": STRING, "default": {"a": "b"}},
        {
            "type": "object",
            "properties": {"a": STRING},
            "oneOf": [{"properties": {"a": {"enum": ["x"]}}}, {"required": ["a"]}],
        },
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": STRING}},
        },
    ],
)
def test_a_structural_schema_has_no_causes(spec):
    assert check(spec) == []


SP = "properties[spec]"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, (f"{SP}.type", "Required value: must not be empty for specified object fields")),
        (
            {"type": "array", "items": {}},
            (f"{SP}.items.type", "Required value: must not be empty for specified array items"),
        ),
        ({"type": "array"}, (f"{SP}.items", "Required value: must be specified")),
        ({"type": "null"}, (f"{SP}.type", "Forbidden: type cannot be set to null, use nullable as an alternative")),
        ({"type": "object", "$ref": "#/x"}, (f"{SP}.$ref", "Forbidden: $ref is not supported")),
        (
            {"type": "object", "patternProperties": {"a": STRING}},
            (f"{SP}.patternProperties", "Forbidden: patternProperties "),
        ),
        (
            {"type": "array", "items": STRING, "uniqueItems": True},
            (f"{SP}.uniqueItems", "Forbidden: uniqueItems cannot"),
        ),
        (
            {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
            (f"{SP}.additionalProperties", "Forbidden: additionalProperties and properties are mutual exclusive"),
        ),
        (
            {"type": "string", "pattern": "("},
            (f"{SP}.pattern", 'Invalid value: "(": must be a valid regular expression'),
        ),
        (
            {"type": "string", "default": 1},
            (f"{SP}.default", 'Invalid value: "integer":  in body must be of type string'),
        ),
        (
            {"type": "object", "properties": {"a": STRING}, "default": {"b": 1}},
            (f"{SP}.default", 'Invalid value: {"b":1}: must not have unknown fields'),
        ),
        ({"type": "string", "anyOf": [{"type": "string"}]}, (f"{SP}.anyOf[0].type", "Forbidden: must be empty to be")),
        (
            {"type": "object", "anyOf": [{"properties": {"x": {"pattern": "a"}}}]},
            (
                f"{SP}.properties[x]",
                "Required value: because it is defined in s.properties[spec].anyOf[0].properties[x]",
            ),
        ),
        (
            {"type": "string", "x-kubernetes-list-type": "set"},
            (f"{SP}.type", 'Invalid value: "string": must be array if x-k'),
        ),
        (
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
            (f"{SP}.items.x-kubernetes-map-type", "Invalid value: null: must be atomic as item of a list"),
        ),
        (
            {"type": "array", "items": STRING, "x-kubernetes-list-type": "bag"},
            (f"{SP}.x-kubernetes-list-type", 'Unsupported value: "bag"'),
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": STRING}},
            },
            (f"{SP}.items.properties[k].default", "Required value: this property is in x-kubernetes-list-map-keys"),
        ),
        (
            {"type": "string", "x-kubernetes-embedded-resource": True},
            (f"{SP}.type", 'Invalid value: "string": must be object'),
        ),
        (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
            (f"{SP}.x-kubernetes-preserve-unknown-fields", "Invalid value: false: must be true or undefined"),
        ),
    ],
)
def test_what_is_not_structural_is_named_and_explained(spec, found):
    assert any(path == found[0] and message.startswith(found[1]) for path, message in check(spec)), check(spec)


def test_the_root_must_be_an_object_without_additional_properties():
    found = dict(check(STRING, type="string", additionalProperties=True))
    assert found["type"] == 'Invalid value: "string": must be object at the root'
    assert found["additionalProperties"] == "Forbidden: must not be used at the root"


def test_metadata_may_be_restricted_in_its_name_only():
    name = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}}}
    assert structuralschema.check_structural({"type": "object", "properties": {"metadata": name}}) == []
    labels = {"type": "object", "properties": {"labels": {"type": "object"}}}
    (cause,) = structuralschema.check_structural({"type": "object", "properties": {"metadata": labels}})
    assert "metadata is implicitly specified" in cause.message
