"""FieldsV1: path elements, canonical form, the wording of paths."""

import pytest

from isthmus.machinery import fieldpath
from isthmus.machinery.schema import Node


def test_an_item_of_a_list_map_is_named_by_its_keys_with_defaults_filled(kubernetes):
    ports = kubernetes("core.v1.Service").property("spec").property("ports")
    assert fieldpath.item_element({"port": 80, "name": "x"}, ports) == 'k:{"port":80,"protocol":"TCP"}'
    assert fieldpath.item_element({"protocol": "UDP", "port": 53}, ports) == 'k:{"port":53,"protocol":"UDP"}'


@pytest.mark.parametrize(
    ("item", "element"),
    [("a", 'v:"a"'), ('"\n', 'v:"\\"\\n"'), (1, "v:1"), (True, "v:true"), ({"b": 1, "a": []}, 'v:{"a":[],"b":1}')],
)
def test_an_item_of_a_set_is_named_by_its_value(item, element):
    assert fieldpath.item_element(item, Node({"type": "array", "x-kubernetes-list-type": "set"}, {})) == element


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:replicas"), ".spec.replicas"),
        (("f:spec", "f:containers", 'k:{"name":"web"}', "f:image"), '.spec.containers[name="web"].image'),
        (("f:ports", 'k:{"port":80,"protocol":"TCP"}'), '.ports[port=80,protocol="TCP"]'),
        (("f:metadata", "f:finalizers", 'v:"a"'), '.metadata.finalizers[="a"]'),
        (("f:list", "i:3"), ".list[3]"),
    ],
)
def test_paths_read_as_in_the_messages_of_kubernetes(path, text):
    assert fieldpath.describe(path) == text


def test_foreign_sets_are_brought_into_canonical_form():
    foreign = {
        ".": {},
        'k:{ "protocol": "TCP", "port": 80 }': {".": {}, "f:port": {}},
        'k:{"port":80,"protocol":"TCP"}': {"f:name": {}},
        "f:only": {".": {}},
        "x:unknown": {"f:a": {}},
    }
    assert fieldpath.canonical(foreign) == {
        ".": {},
        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}},
        "f:only": {},
    }


@pytest.mark.parametrize(
    "wrong", [[], "x", {"f:a": 1}, {"noprefix": {}}, {"k:[]": {}}, {"v:": {}}, {'i:"a"': {}}, {"": {}}]
)
def test_what_is_no_field_set_is_refused(wrong):
    with pytest.raises(fieldpath.FieldSetError):
        fieldpath.canonical(wrong)


def test_a_bottomless_set_is_refused():
    deep = {}
    for _ in range(900):
        deep = {"f:a": deep}
    with pytest.raises(fieldpath.FieldSetError, match="deep"):
        fieldpath.canonical(deep)


def test_a_path_and_the_paths_below_it_are_independent_members():
    both = {"f:a": {".": {}, "f:b": {}}}
    assert fieldpath.difference(both, {"f:a": {}}) == {"f:a": {"f:b": {}}}
    assert fieldpath.difference(both, {"f:a": {"f:b": {}}}) == {"f:a": {}}
    assert fieldpath.difference({"f:a": {"f:b": {}}}, {"f:a": {}}) == {"f:a": {"f:b": {}}}
    assert fieldpath.union({"f:a": {}}, {"f:a": {"f:b": {}}}) == both
    assert fieldpath.intersection(both, {"f:a": {}}) == {"f:a": {}}


def test_operations_that_change_nothing_return_their_input():
    fields = {"f:a": {"f:b": {}}, "f:c": {}}
    assert fieldpath.difference(fields, {"f:x": {}, "f:a": {"f:y": {}}}) is fields
    assert fieldpath.union(fields, {"f:a": {"f:b": {}}}) is fields
