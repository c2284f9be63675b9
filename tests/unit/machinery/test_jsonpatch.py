"""RFC 6902 and 6901 by example, and the limits that kube-apiserver sets."""

import pytest

from isthmus.machinery import errors, jsonpatch

VM = {"metadata": {"labels": {"a/b": "1", "m~n": "2"}}, "spec": {"disks": ["root", "data"], "running": True}}


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({}, [], {}),
        ({"a": 1}, [{"op": "add", "path": "/b", "value": None}], {"a": 1, "b": None}),
        ({"a": 1}, [{"op": "add", "path": "/a", "value": 2}], {"a": 2}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/2", "value": 9}], {"a": [1, 2, 9]}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/-", "value": 9}], {"a": [1, 2, 9]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": {"b": 1}}, [{"op": "remove", "path": "/a/b"}], {"a": {}}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/1", "value": {"c": 3}}], {"a": [1, {"c": 3}]}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": [1]}, "c": {"b": [1]}}),
        ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}], {}),
        ({"~1": 1}, [{"op": "test", "path": "/~01", "value": 1}], {"~1": 1}),
        ({"a": {"x": [1, 2.0]}}, [{"op": "test", "path": "/a", "value": {"x": [1.0, 2]}}], {"a": {"x": [1, 2.0]}}),
    ],
)
def test_operations_do_what_the_rfc_says(document, operations, expected):
    assert jsonpatch.apply(document, operations) == expected


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "remove", "path": "/nope"}, "'nope' does not exist"),
        ({"op": "replace", "path": "/spec/nope", "value": 1}, "'nope' does not exist"),
        ({"op": "add", "path": "/nope/deeper", "value": 1}, "'nope' does not exist"),
        ({"op": "add", "path": "/spec/disks/3", "value": 1}, "out of range"),
        ({"op": "remove", "path": "/spec/disks/-"}, "no list index"),
        ({"op": "remove", "path": "/spec/disks/01"}, "no list index"),
        ({"op": "remove", "path": "/spec/disks/-1"}, "no list index"),
        ({"op": "remove", "path": "/spec/disks/" + "9" * 5000}, "out of range"),
        ({"op": "add", "path": "/spec/running/x", "value": 1}, "neither object nor list"),
        ({"op": "move", "from": "/spec", "path": "/spec/disks/0"}, "into itself"),
        ({"op": "remove", "path": ""}, "whole document"),
    ],
)
def test_an_operation_that_does_not_apply_names_itself_and_the_reason(operation, why):
    with pytest.raises(jsonpatch.OperationFailed, match=why) as caught:
        jsonpatch.apply(VM, [{"op": "test", "path": "/spec/running", "value": True}, operation])
    assert (caught.value.code, caught.value.reason, caught.value.index) == (422, "Invalid", 1)
    assert not isinstance(caught.value, jsonpatch.TestFailed)


@pytest.mark.parametrize(
    ("path", "value"),
    [("/spec/running", False), ("/spec/running", 1), ("/spec/nope", None), ("/spec/disks", ["data", "root"])],
)
def test_a_failed_test_is_told_apart_from_other_failures(path, value):
    with pytest.raises(jsonpatch.TestFailed) as caught:
        jsonpatch.apply(VM, [{"op": "test", "path": path, "value": value}])
    assert caught.value.status()["code"] == 422


@pytest.mark.parametrize(
    "patch",
    [
        {},
        "x",
        [1],
        [{}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": ["add"], "path": "/a"}],
        [{"op": "merge", "path": "/a", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a~2", "value": 1}],
        [{"op": "add", "path": "/a~", "value": 1}],
        [{"op": "move", "from": 1, "path": "/a"}],
        [{"op": "copy", "path": "/a"}],
        [{"op": "add", "path": "/a" * 300, "value": 1}],
    ],
)
def test_a_malformed_patch_is_a_bad_request(patch):
    with pytest.raises(errors.StatusError) as caught:
        jsonpatch.apply(VM, patch)
    assert caught.value.code == 400


def test_more_operations_than_the_limit_are_too_large():
    patch = [{"op": "test", "path": "", "value": {}}] * (jsonpatch.MAX_OPERATIONS + 1)
    with pytest.raises(errors.StatusError, match="10000, got 10001") as caught:
        jsonpatch.apply({}, patch)
    assert caught.value.code == 413


def test_copies_cannot_blow_a_small_patch_up():
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(jsonpatch.OperationFailed, match="all copies together"):
        jsonpatch.apply({"a": ["x" * 100]}, doubling)


def test_writing_through_one_alias_of_a_copy_leaves_the_other():
    patch = [
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/a/y", "value": 2},
        {"op": "add", "path": "/b/z", "value": 3},
    ]
    assert jsonpatch.apply({"a": {}}, patch) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "z": 3}}


def test_a_value_of_the_patch_is_not_written_through():
    value = {"list": []}
    patch = [{"op": "add", "path": "/a", "value": value}, {"op": "add", "path": "/a/list/-", "value": 1}]
    assert jsonpatch.apply({}, patch) == {"a": {"list": [1]}}
    assert value == {"list": []}


def test_what_a_patch_does_not_touch_is_the_same_object():
    result = jsonpatch.apply(VM, [{"op": "replace", "path": "/spec/running", "value": False}])
    assert result["metadata"] is VM["metadata"]
    assert result["spec"]["disks"] is VM["spec"]["disks"]
    assert VM["spec"]["running"] is True
