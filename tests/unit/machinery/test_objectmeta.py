import pytest

from isthmus.machinery import names, objectmeta

GOOD = {"name": "a.b", "namespace": "default", "labels": {"a": "b"}, "annotations": {"Example.com/A": "x\ny"}}
STORED = GOOD | {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 2}


def found(causes):
    return {(c.field, c.reason) for c in causes}


def test_good_metadata_has_no_causes():
    assert objectmeta.validate_create(GOOD, namespaced=True) == []
    assert objectmeta.validate_update(STORED, STORED) == []


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"name": ""}, "metadata.name", "Required value: name or generateName is required"),
        ({"name": "A"}, "metadata.name", 'Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"generateName": "AB-"}, "metadata.generateName", 'Invalid value: "AB-": a lowercase'),
        ({"namespace": ""}, "metadata.namespace", "Required value"),
        ({"namespace": "a.b"}, "metadata.namespace", 'Invalid value: "a.b": must not contain dots'),
        ({"labels": {"a": "-"}}, "metadata.labels", 'Invalid value: "-": a valid label must be'),
        ({"labels": {"a b": "c"}}, "metadata.labels", 'Invalid value: "a b": name part must'),
        ({"annotations": {"a b": ""}}, "metadata.annotations", 'Invalid value: "a b"'),
        ({"annotations": {"a": "x" * 262144}}, "metadata.annotations", "Too long: may not be more than 262144 bytes"),
        ({"finalizers": ["a b"]}, "metadata.finalizers", 'Invalid value: "a b"'),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, "metadata.finalizers", "Invalid value: ["),
        ({"generation": -1}, "metadata.generation", "Invalid value: -1"),
        ({"managedFields": [{"operation": "Get"}]}, "metadata.managedFields[0].operation", 'Unsupported value: "Get"'),
        ({"managedFields": [{"manager": "\n", "operation": "Apply"}]}, "metadata.managedFields[0].manager", "Invalid"),
    ],
)
def test_a_wrong_field_is_named_and_explained(change, field, message):
    (cause,) = objectmeta.validate_create(GOOD | change, namespaced=True)
    assert cause.field == field
    assert cause.message.startswith(message)


def test_a_cluster_wide_object_has_no_namespace():
    (cause,) = objectmeta.validate_create(GOOD, namespaced=False)
    assert (cause.field, cause.message) == ("metadata.namespace", "Forbidden: not allowed on this type")


def test_names_are_checked_by_the_kinds_own_rule():
    meta = {"name": "system:node"}
    assert objectmeta.validate_create(meta, namespaced=False)
    assert objectmeta.validate_create(meta, namespaced=False, name_check=names.path_segment) == []


def test_owner_references_need_all_four_parts_and_one_controller():
    whole = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "controller": True}
    meta = GOOD | {"ownerReferences": [whole, whole, {"apiVersion": "a/b/c"}, whole | {"kind": "Event"}]}
    got = found(objectmeta.validate_create(meta, namespaced=True))
    assert ("metadata.ownerReferences", "FieldValueInvalid") in got
    assert ("metadata.ownerReferences[2].uid", "FieldValueRequired") in got
    assert ("metadata.ownerReferences[2].apiVersion", "FieldValueInvalid") in got
    assert ("metadata.ownerReferences[3]", "FieldValueInvalid") in got


@pytest.mark.parametrize("field", ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"])
def test_what_names_an_object_cannot_change(field):
    causes = objectmeta.validate_update(STORED | {field: "other"}, STORED)
    assert (f"metadata.{field}", 'Invalid value: "other": field is immutable') in {(c.field, c.message) for c in causes}


def test_finalizers_cannot_be_added_to_an_object_that_goes():
    old = STORED | {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a"]}
    assert objectmeta.validate_update(old | {"finalizers": []}, old) == []
    (cause,) = objectmeta.validate_update(old | {"finalizers": ["a", "b"]}, old)
    assert "no new finalizers can be added" in cause.message


def test_an_update_knows_what_it_replaces():
    causes = objectmeta.validate_update(STORED | {"resourceVersion": "", "generation": 1}, STORED)
    assert {c.field for c in causes} == {"metadata.resourceVersion", "metadata.generation"}
