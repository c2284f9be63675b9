import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import structuralschema
from isthmus.machinery.schema import Node

OBJECT_META = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
DEFINITIONS = {"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": OBJECT_META}
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {
        "name": {"type": "string"},
        "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
        "protocol": {"type": "string", "enum": ["TCP", "UDP"], "default": "TCP"},
    },
}
SPEC = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "minLength": 1, "maxLength": 8, "pattern": "^[a-z:]*$"},
        "replicas": {"type": "integer", "default": 1},
        "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "multipleOf": 0.5},
        "on": {"type": "boolean"},
        "maxSurge": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "address": {"type": "string", "format": "ipv4"},
        "note": {"type": "string", "nullable": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "ports": {
            "type": "array",
            "maxItems": 4,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": PORT,
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": PORT}},
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
        "policy": {"type": "object", "default": {}, "properties": {"mode": {"type": "string", "default": "Auto"}}},
        "one": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        "child": {"type": "object", "properties": {"x": {"type": "string"}}, "not": {"required": ["x"]}},
        "bounded": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 2,
            "additionalProperties": {"type": "integer"},
        },
    },
}
ROOT = Node({"type": "object", "properties": {"spec": SPEC}}, DEFINITIONS)
GOOD = {"spec": {"image": "a:b", "ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}], "maxSurge": "25%"}}


def with_spec(**fields):
    return {"spec": {"image": "a", **fields}}


def test_unknown_fields_are_dropped_and_named_in_order():
    obj = {"zzz": 1, **with_spec(foo=1, ports=[{"port": 1, "bar": {}}], labels={"any": "thing"})}
    assert structuralschema.prune(obj, ROOT) == ["spec.foo", "spec.ports[0].bar", "zzz"]
    assert obj == with_spec(ports=[{"port": 1}], labels={"any": "thing"})


def test_unknown_fields_stay_where_the_schema_preserves_them_but_not_below_a_named_one():
    obj = with_spec(free={"any": {"depth": None}, "known": {"port": 1, "other": 2}})
    assert structuralschema.prune(obj, ROOT) == ["spec.free.known.other"]
    assert obj["spec"]["free"] == {"any": {"depth": None}, "known": {"port": 1}}


def test_an_embedded_object_keeps_what_every_object_has():
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "odd": 1}, "spec": {"a": "b", "c": "d"}}
    obj = with_spec(template=copy.deepcopy(template))
    assert structuralschema.prune(obj, ROOT) == ["spec.template.metadata.odd", "spec.template.spec.c"]
    assert obj["spec"]["template"]["metadata"] == {"name": "a"}


def test_a_null_means_absent_unless_the_schema_allows_it():
    obj = with_spec(replicas=None, note=None, on=None, labels={"a": None, "b": "c"}, ports=None)
    assert structuralschema.prune_and_default(obj, ROOT) == []
    assert obj == with_spec(replicas=1, note=None, labels={"b": "c"}, policy={"mode": "Auto"})


def test_defaults_fill_in_items_and_defaults_of_defaults():
    obj = structuralschema.default(with_spec(ports=[{"port": 1}], policy={"mode": "Off"}), ROOT)
    assert obj == with_spec(ports=[{"port": 1, "protocol": "TCP"}], policy={"mode": "Off"}, replicas=1)
    assert structuralschema.default(with_spec(), ROOT)["spec"]["policy"] == {"mode": "Auto"}


def test_defaults_are_not_shared_between_objects():
    first, second = (structuralschema.default(with_spec(), ROOT) for _ in range(2))
    first["spec"]["policy"]["mode"] = "changed"
    assert second["spec"]["policy"] == {"mode": "Auto"}


def test_a_good_object_has_no_causes():
    assert structuralschema.validate(structuralschema.default(copy.deepcopy(GOOD), ROOT), ROOT) == []


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"replicas": "x"},
            "spec.replicas",
            'Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        ({"replicas": 1.5}, "spec.replicas", 'Invalid value: "number": spec.replicas in body must be of type integer'),
        ({"on": 1}, "spec.on", 'Invalid value: "integer": spec.on in body must be of type boolean: "integer"'),
        ({"labels": []}, "spec.labels", 'Invalid value: "array": spec.labels in body must be of type object: "array"'),
        (
            {"labels": {"a": 1}},
            "spec.labels.a",
            'Invalid value: "integer": spec.labels.a in body must be of type string',
        ),
        ({"ports": {}}, "spec.ports", 'Invalid value: "object": spec.ports in body must be of type array: "object"'),
        (
            {"maxSurge": 1.5},
            "spec.maxSurge",
            'Invalid value: "number": spec.maxSurge in body must be of type integer,str',
        ),
        ({"image": ""}, "spec.image", 'Invalid value: "": spec.image in body should be at least 1 chars long'),
        ({"image": "x" * 9}, "spec.image", "Too long: may not be more than 8 bytes"),
        ({"image": "A"}, "spec.image", "Invalid value: \"A\": spec.image in body should match '^[a-z:]*$'"),
        ({"image": "a\n"}, "spec.image", 'Invalid value: "a\\n": spec.image in body should match'),
        (
            {"address": "1.2.3"},
            "spec.address",
            'Invalid value: "1.2.3": spec.address in body must be of type ipv4: "1.2',
        ),
        ({"ratio": 0}, "spec.ratio", "Invalid value: 0: spec.ratio in body should be greater than 0"),
        ({"ratio": 0.7}, "spec.ratio", "Invalid value: 0.7: spec.ratio in body should be a multiple of 0.5"),
        ({"ports": [{}]}, "spec.ports[0].port", "Required value"),
        (
            {"ports": [{"port": 0}]},
            "spec.ports[0].port",
            "Invalid value: 0: spec.ports[0].port in body should be greater",
        ),
        (
            {"ports": [{"port": 70000}]},
            "spec.ports[0].port",
            "Invalid value: 70000: spec.ports[0].port in body should be l",
        ),
        (
            {"ports": [{"port": 1, "protocol": "X"}]},
            "spec.ports[0].protocol",
            'Unsupported value: "X": supported values: "TCP", "UDP"',
        ),
        ({"ports": [{"port": i} for i in range(1, 6)]}, "spec.ports", "Too many: 5: must have at most 4 items"),
        (
            {"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "TCP"}]},
            "spec.ports[1]",
            'Duplicate value: {"port":1,"protocol":"TCP"}',
        ),
        ({"tags": ["a", "b", "a", "a"]}, "spec.tags[2]", 'Duplicate value: "a"'),
        (
            {"tags": ["a", None]},
            "spec.tags[1]",
            'Invalid value: "null": spec.tags[1] in body must be of type string: "null"',
        ),
        ({"child": {"x": "y"}}, "spec.child", 'Invalid value: "": "spec.child" must not validate the schema (not)'),
        ({"bounded": {}}, "spec.bounded", "Invalid value: 0: spec.bounded in body should have at least 1 properties"),
        ({"bounded": {"a": 1, "b": 2, "c": 3}}, "spec.bounded", "Too many: 3: must have at most 2 items"),
        ({"template": {"kind": "Pod"}}, "spec.template.apiVersion", "Required value"),
    ],
)
def test_a_wrong_value_is_explained_in_kube_apiservers_words(fields, path, message):
    causes = structuralschema.validate(with_spec(**fields), ROOT)
    assert [c.field for c in causes] == [path]
    assert causes[0].message.startswith(message)


def test_one_of_counts_its_alternatives():
    (first, *_) = structuralschema.validate(with_spec(one={}), ROOT)
    assert first.message.endswith('"spec.one" must validate one and only one schema (oneOf). Found none valid')
    (only,) = structuralschema.validate(with_spec(one={"a": "", "b": ""}), ROOT)
    assert only.message.endswith("Found 2 valid alternatives")


def test_every_wrong_field_is_reported():
    causes = structuralschema.validate({"spec": {"replicas": "x", "on": "y"}}, ROOT)
    assert {c.field for c in causes} == {"spec.replicas", "spec.on", "spec.image"}


def test_repeated_keys_are_left_to_the_kind_when_told_so():
    obj = with_spec(tags=["a", "a"])
    assert structuralschema.validate(obj, ROOT, keyed_lists=False) == []


def test_a_whole_float_counts_as_an_integer():
    assert structuralschema.validate(with_spec(replicas=2.0), ROOT) == []


def test_a_recursive_schema_is_walked():
    tree = {"type": "object", "properties": {"v": {"type": "string"}, "next": {"$ref": "#/definitions/Tree"}}}
    node = Node({"$ref": "#/definitions/Tree"}, {"Tree": tree})
    obj = {"next": {"next": {"v": 1, "w": 2}}}
    assert structuralschema.prune(obj, node) == ["next.next.w"]
    assert [c.field for c in structuralschema.validate(obj, node)] == ["next.next.v"]


def test_a_quantity_may_be_a_number_or_a_text():
    node = Node(
        {"properties": {"q": {"oneOf": [{"type": "string"}, {"type": "number"}], "x-kubernetes-int-or-string": True}}},
        {},
    )
    assert all(structuralschema.validate({"q": q}, node) == [] for q in ("1Gi", 1, 0.5))
    assert structuralschema.validate({"q": {}}, node)


def test_the_patterns_of_go_are_understood_and_take_linear_time():
    node = Node({"type": "string", "pattern": r"^(\p{Lu}|(a+)+)\z"}, {})
    assert structuralschema.validate("Ä", node) == []
    assert structuralschema.validate("a" * 5000 + "b", node)


scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5)
known = st.sampled_from(
    [*SPEC["properties"], "spec", "port", "protocol", "known", "mode", "x", "a", "metadata", "kind"]
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known | st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(known, json_values, max_size=6))
def test_no_json_breaks_any_pass_and_pruning_twice_changes_nothing(spec):
    obj = {"spec": spec}
    structuralschema.prune_and_default(obj, ROOT)
    once = json.dumps(obj)
    assert structuralschema.prune_and_default(obj, ROOT) == []
    assert json.dumps(obj) == once
    for cause in structuralschema.validate(obj, ROOT):
        assert cause.message
        cause.as_dict()


@given(json_values)
def test_no_json_breaks_a_walk_at_the_root(value):
    structuralschema.validate(value, ROOT)
    if isinstance(value, dict):
        structuralschema.prune_and_default(value, ROOT)
