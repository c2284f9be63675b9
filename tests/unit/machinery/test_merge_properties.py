"""Laws of patches, apply and ownership, on objects of widget.json and on any JSON at all."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.machinery import (
    errors,
    fieldpath,
    jsonpatch,
    jsonvalue,
    managedfields,
    mergepatch,
    serversideapply,
    strategicpatch,
    typed,
)
from isthmus.machinery.schema import Node

WIDGET = json.loads(Path(__file__).with_name("widget.json").read_text())
NODE = Node(WIDGET, {})
VERSION = "isthmus.dev/v1"

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3)
names = st.sampled_from(
    [
        "a",
        "~",
        "x/y",
        "metadata",
        "managedFields",
        "spec",
        "items",
        "ports",
        "name",
        "apiVersion",
        "finalizers",
        "$patch",
        "$retainKeys",
        "",
        "$setElementOrder/items",
        "$deleteFromPrimitiveList/finalizers",
    ]
)
any_json = st.recursive(
    scalars | st.sampled_from(["replace", "delete", VERSION]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
any_object = st.dictionaries(names, any_json, max_size=5)


def values(raw):
    """Values that fit a schema: no nulls, list items with different keys."""
    kind = raw.get("type")
    if kind == "string":
        return st.sampled_from("abc")
    if kind == "integer":
        return st.integers(1, 3)
    if kind == "object" and "properties" in raw:
        return st.fixed_dictionaries({}, optional={name: values(below) for name, below in raw["properties"].items()})
    if kind == "object":
        return st.dictionaries(st.sampled_from("uvw"), values(raw["additionalProperties"]), max_size=3)
    if kind != "array":
        return st.dictionaries(st.sampled_from("pq"), st.sampled_from("ab") | st.lists(st.integers(0, 1)), max_size=2)
    if not (keys := raw.get("x-kubernetes-list-map-keys")):
        return st.lists(values(raw["items"]), max_size=3, unique=raw.get("x-kubernetes-list-type") == "set")
    named = st.sampled_from("abcd") if keys[0] == "name" else st.sampled_from([80, 443])
    items = st.builds(lambda item, value: {**item, keys[0]: value}, values(raw["items"]), named)
    return st.lists(items, max_size=3, unique_by=lambda item: item[keys[0]])


def build_widget(spec, metadata):
    metadata = {**metadata, "name": "w", "namespace": "n"}
    return {"apiVersion": VERSION, "kind": "Widget", "metadata": metadata, "spec": spec}


widgets = st.builds(build_widget, values(WIDGET["properties"]["spec"]), values(WIDGET["properties"]["metadata"]))


def update(old, new, manager, time="2026-11-24T08:00:00Z"):
    return managedfields.update(old, new, node=NODE, manager=manager, api_version=VERSION, time=time)


def apply(live, applied, manager, *, force=True, time="2026-11-24T08:00:00Z"):
    return serversideapply.apply(live, applied, node=NODE, manager=manager, force=force, api_version=VERSION, time=time)


def with_entries(obj, entries):
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


def without_entries(obj):
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}


def claims(obj):
    return typed.with_named_fields(typed.field_set(without_entries(obj), NODE), NODE)


def owners(obj, manager):
    entries = obj["metadata"]["managedFields"]
    return next((entry["fieldsV1"] for entry in entries if entry["manager"] == manager), {})


@given(any_json, any_json)
def test_a_merge_patch_made_by_diff_leads_from_old_to_new(old, new):
    def without_nulls(value):
        return {k: without_nulls(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    old, new = without_nulls(old), without_nulls(new)
    assert jsonvalue.equal(mergepatch.apply(old, mergepatch.diff(old, new)), new)
    assert not isinstance(old, dict) or mergepatch.diff(old, old) == {}


@given(any_json, any_json)
def test_a_merge_patch_applied_twice_is_applied_once_and_its_inputs_stay(document, patch):
    before = copy.deepcopy((document, patch))
    once = mergepatch.apply(document, patch)
    assert mergepatch.apply(once, patch) == once
    assert (document, patch) == before


pointers = st.lists(st.sampled_from(["a", "0", "1", "-", "~0", "spec", "01", ""]), max_size=3).map(
    lambda tokens: "".join("/" + token for token in tokens)
)
operations = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": pointers},
        optional={"value": any_json, "from": pointers},
    )
    | any_json,
    max_size=6,
)


@given(any_json, operations | any_json)
def test_a_json_patch_applies_or_raises_a_status_and_its_inputs_stay(document, patch):
    before = copy.deepcopy((document, patch))
    try:
        jsonpatch.apply(document, patch)
    except errors.StatusError as error:
        assert error.code in (400, 413, 422)
    assert jsonvalue.equal(list(before), [document, patch])


@given(any_object, any_json)
def test_a_strategic_patch_applies_or_raises_a_status_and_its_inputs_stay(document, patch):
    before = copy.deepcopy((document, patch))
    try:
        strategicpatch.apply(document, patch, NODE)
    except errors.StatusError as error:
        assert error.code in (400, 422)
    assert jsonvalue.equal(list(before), [document, patch])


@given(widgets, widgets)
def test_a_strategic_patch_without_directives_loses_no_leaf_and_applies_once(old, patch):
    once = strategicpatch.apply(old, patch, NODE)
    leaves = {path for path in fieldpath.paths(typed.field_set(patch, NODE)) if not is_empty(patch, path)}
    assert leaves <= set(fieldpath.paths(typed.field_set(once, NODE)))
    assert strategicpatch.apply(once, patch, NODE) == once


def is_empty(obj, path):
    """Whether the path leads to an empty object, which a patch cannot say of one that has fields."""
    value = obj
    for element in path:
        if isinstance(value, dict):
            value = value.get(element[2:])
        elif isinstance(value, list) and element.startswith("k:"):
            keys = json.loads(element[2:]).items()
            value = next((item for item in value if keys <= item.items()), None)
    return value == {}


@given(any_object, any_object)
def test_update_and_apply_survive_any_pair_of_objects(old, new):
    old = {**old, "metadata": {"managedFields": update(None, old, "m")}}
    before = copy.deepcopy((old, new))
    json.dumps(update(old, new, "m"))
    json.dumps(update(None, new, "m"))
    try:
        json.dumps(apply(old, {**new, "apiVersion": VERSION}, "m"))
    except errors.StatusError as error:
        assert error.code in (400, 409)
    assert jsonvalue.equal(list(before), [old, new])


@given(widgets, widgets, widgets)
def test_after_updates_every_field_has_the_owner_who_wrote_it_last(first, second, third):
    entries = update(None, first, "one")
    live = with_entries(first, entries)
    for manager, wanted in (("two", second), ("one", third)):
        changed, removed = managedfields.changes(live, wanted, NODE)
        live = with_entries(wanted, update(live, wanted, manager))
        assert fieldpath.difference(changed, owners(live, manager)) == {}
        for other in {"one", "two"} - {manager}:
            assert fieldpath.intersection(owners(live, other), changed) == {}
        for entry in live["metadata"]["managedFields"]:
            assert fieldpath.intersection(entry["fieldsV1"], fieldpath.difference(removed, changed)) == {}


@given(widgets)
def test_an_update_that_changes_nothing_leaves_the_list_as_it_is(obj):
    live = with_entries(obj, update(None, obj, "one"))
    assert update(live, copy.deepcopy(live), "two", time="2027-01-01T00:00:00Z") == live["metadata"]["managedFields"]


@given(widgets, widgets, widgets)
def test_a_forced_apply_owns_all_it_says_and_what_it_changed_alone(first, second, applied):
    live = with_entries(first, update(None, first, "updater"))
    live = apply(live, second, "other")
    result = apply(live, applied, "applier")
    mine = owners(result, "applier")
    assert mine == managedfields.without_bookkeeping(typed.field_set(applied, NODE))
    changed, _ = managedfields.changes(without_entries(live), without_entries(result), NODE)
    for manager in ("updater", "other"):
        assert fieldpath.intersection(owners(result, manager), changed) == {}


@given(widgets, widgets)
def test_an_apply_repeated_changes_nothing_at_all(first, applied):
    live = with_entries(first, update(None, first, "updater"))
    once = apply(live, applied, "applier")
    assert apply(once, applied, "applier", force=False, time="2027-01-01T00:00:00Z") == once


@given(widgets, widgets)
def test_what_a_lone_applier_no_longer_says_goes(first, second):
    live = apply(apply(None, first, "applier"), second, "applier", force=False)
    no_longer = fieldpath.difference(claims(first), claims(second))
    assert fieldpath.intersection(claims(live), no_longer) == {}


@given(widgets, widgets, widgets)
def test_an_apply_never_removes_what_another_applier_owns(first, second, third):
    live = apply(apply(None, first, "other"), second, "applier")
    result = apply(live, third, "applier")
    kept = fieldpath.difference(owners(live, "other"), managedfields.changes(live, result, NODE)[0])
    present, _ = typed.changes({}, result, NODE)
    assert fieldpath.difference(kept, present) == {}


@given(widgets, widgets)
def test_without_force_an_apply_conflicts_exactly_where_it_would_take_a_field(first, applied):
    live = with_entries(first, update(None, first, "updater"))
    forced = apply(live, applied, "applier")
    changed, _ = managedfields.changes(without_entries(live), without_entries(forced), NODE)
    taken = fieldpath.intersection(owners(live, "updater"), changed)
    if not taken:
        assert apply(live, applied, "applier", force=False) == forced
        return
    with pytest.raises(errors.StatusError) as caught:
        apply(live, applied, "applier", force=False)
    fields = [cause["field"] for cause in caught.value.details["causes"]]
    assert fields == [fieldpath.describe(path) for path in fieldpath.paths(taken)]


paths = st.lists(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}']), min_size=1, max_size=3).map(tuple), max_size=5)


@given(paths, paths)
@settings(max_examples=300)
def test_field_sets_obey_the_laws_of_sets_of_paths(left, right):
    a, b = fieldpath.from_paths(left), fieldpath.from_paths(right)

    def members(fields):
        return set(fieldpath.paths(fields))

    assert members(a) == set(left)
    assert members(fieldpath.union(a, b)) == set(left) | set(right)
    assert members(fieldpath.intersection(a, b)) == set(left) & set(right)
    assert members(fieldpath.difference(a, b)) == set(left) - set(right)
    assert all(fieldpath.has(a, path) == (path in left) for path in left + right)
    assert fieldpath.canonical(a) == a
