"""Ownership after creates, updates and patches, as a real API server records it."""

import copy

import pytest

from isthmus.machinery import managedfields, mergepatch

T1, T2, T3 = "2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z"


def update(old, new, manager, time=T1, **more):
    options = {"node": None, "api_version": "v1"} | more
    return managedfields.update(old, new, manager=manager, time=time, **options)


def store(obj, entries):
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


def create(obj, manager, time=T1, **more):
    return store(obj, update(None, obj, manager, time, **more))


def write(old, patch, manager, time=T2, **more):
    new = mergepatch.apply(old, patch)
    return store(new, update(old, new, manager, time, **more))


def fields(obj):
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def test_a_created_pod_is_owned_field_by_field_without_its_bookkeeping(kubernetes):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "1",
            "resourceVersion": "7",
            "generation": 1,
            "creationTimestamp": T1,
            "labels": {"app": "web"},
            "finalizers": ["a"],
        },
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "nginx",
                    "args": ["-v"],
                    "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                }
            ],
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "a"}],
        },
    }
    entries = update(None, pod, "kubectl-create", node=kubernetes("core.v1.Pod"))
    port = {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}}, ".": {}}
    web = {".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {}, "f:ports": port}
    assert entries == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {
                    "f:labels": {".": {}, "f:app": {}},
                    "f:finalizers": {".": {}, 'v:"a"': {}},
                },
                "f:spec": {
                    ".": {},
                    "f:containers": {".": {}, 'k:{"name":"web"}': web},
                    "f:nodeSelector": {},
                    "f:tolerations": {},
                },
            },
        }
    ]


def test_a_changed_field_goes_to_who_changed_it_and_the_rest_stays():
    live = create({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 1}}, "one")
    live = write(live, {"spec": {"x": 2}}, "two")
    assert fields(live) == {"one": {"f:spec": {".": {}, "f:y": {}}}, "two": {"f:spec": {"f:x": {}}}}
    assert [entry["time"] for entry in live["metadata"]["managedFields"]] == [T1, T2]


def test_a_removed_field_has_no_owner_and_an_entry_without_fields_goes():
    live = create({"metadata": {"name": "a"}, "spec": {"x": 1}}, "one")
    live = write(live, {"spec": {"y": 2}}, "two")
    live = write(live, {"spec": {"y": None}}, "one", time=T3)
    assert fields(live) == {"one": {"f:spec": {".": {}, "f:x": {}}}}
    assert live["metadata"]["managedFields"][0]["time"] == T1


def test_entries_of_one_manager_merge_only_if_version_operation_and_subresource_agree():
    live = create({"metadata": {"name": "a"}, "spec": {"x": 1}}, "one")
    live = write(live, {"spec": {"y": 1}}, "one")
    assert len(live["metadata"]["managedFields"]) == 1
    assert live["metadata"]["managedFields"][0]["time"] == T2
    live = write(live, {"status": {"z": 1}}, "one", subresource="status")
    live = write(live, {"spec": {"w": 1}}, "one", api_version="v2")
    kinds = {(entry["apiVersion"], entry.get("subresource")) for entry in live["metadata"]["managedFields"]}
    assert kinds == {("v1", None), ("v1", "status"), ("v2", None)}


def test_a_write_that_changes_nothing_keeps_the_very_list():
    live = create({"metadata": {"name": "a"}, "spec": {"x": 1}}, "one")
    again = copy.deepcopy(live)
    again["metadata"]["resourceVersion"] = "8"
    assert update(live, again, "two", time=T2) == live["metadata"]["managedFields"]


def test_true_and_one_are_different_values():
    live = create({"metadata": {}, "spec": {"x": 1, "l": [1]}}, "one")
    live = write(live, {"spec": {"x": True, "l": [True]}}, "two")
    assert fields(live)["two"] == {"f:spec": {"f:x": {}, "f:l": {}}}


def test_reordering_a_keyed_list_changes_no_owner(widget):
    live = create({"metadata": {}, "spec": {"items": [{"name": "a"}, {"name": "b"}]}}, "one", node=widget)
    live2 = write(live, {"spec": {"items": [{"name": "b"}, {"name": "a"}]}}, "two", node=widget)
    assert fields(live2) == fields(live)


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        ({"s": 1}, {"s": {"a": 1}}, {"f:s": {".": {}, "f:a": {}}}, {}),
        ({"s": {"a": 1}}, {"s": 1}, {"f:s": {}}, {"f:s": {"f:a": {}}}),
        ({"s": None}, {"s": {"a": 1}}, {"f:s": {"f:a": {}}}, {}),
        ({"s": {"a": 1}}, {"s": None}, {}, {"f:s": {"f:a": {}}}),
        ({"s": {"a": 1}}, {"s": {}}, {}, {"f:s": {"f:a": {}}}),
        ({"s": {}}, {"s": None}, {"f:s": {}}, {}),
        ({"s": [1]}, {"s": [1, 2]}, {"f:s": {}}, {}),
    ],
)
def test_values_that_change_their_kind_are_compared_as_structured_merge_diff_does(old, new, changed, removed):
    assert managedfields.changes(old, new, None) == (changed, removed)


def test_items_with_one_key_between_them_are_owned_together(widget):
    twice = [{"name": "a", "value": "x"}, {"name": "a", "value": "y"}]
    live = create({"metadata": {}, "spec": {"items": twice}}, "one", node=widget)
    assert fields(live)["one"]["f:spec"]["f:items"] == {".": {}, 'k:{"name":"a"}': {}}
    live = write(live, {"spec": {"items": twice[:1]}}, "two", node=widget)
    assert fields(live)["two"]["f:spec"]["f:items"] == {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}}}


def test_the_oldest_of_more_than_ten_updaters_merge_into_ancient_changes():
    live = create({"metadata": {"name": "a"}, "spec": {}}, "m00", time="2026-01-01T00:00:00Z")
    for number in range(1, 12):
        patch = {"spec": {f"f{number}": 1}}
        live = write(live, patch, f"m{number:02}", time=f"2026-01-{number + 1:02}T00:00:00Z")
    entries = live["metadata"]["managedFields"]
    assert len(entries) == managedfields.MAX_UPDATE_MANAGERS
    assert entries[0] == {
        "manager": "ancient-changes",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-03T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {".": {}, "f:f1": {}, "f:f2": {}}},
    }
    assert [entry["manager"] for entry in entries[1:]] == [f"m{number:02}" for number in range(3, 12)]


def test_a_request_may_reset_or_replace_the_list_but_not_break_it():
    live = create({"metadata": {"name": "a"}, "spec": {"x": 1}}, "one")
    entries = live["metadata"]["managedFields"]

    def write_list(wish, **more):
        return update(live, store(live, wish), "two", time=T2, **more)

    assert write_list([]) == []
    assert write_list([{}]) == []
    renamed = [{**entries[0], "manager": "renamed"}]
    assert write_list(renamed) == renamed
    assert write_list(renamed, subresource="status") == entries
    for broken in ([{"manager": "x"}], [{**entries[0], "fieldsV1": {"x": {}}}], [1], "x", None):
        assert write_list(broken) == entries


def test_an_object_without_entries_stays_untracked():
    live = {"metadata": {"name": "a"}, "spec": {"x": 1}}
    assert update(live, {**live, "spec": {"x": 2}}, "one") == []


def test_a_manager_without_a_name_is_unknown():
    assert update(None, {"metadata": {}, "spec": {}}, "")[0]["manager"] == "unknown"


def test_entries_that_lose_nothing_are_handed_on_as_they_are():
    live = create({"metadata": {"name": "a"}, "spec": {"x": 1}}, "one")
    after = write(live, {"metadata": {"annotations": {"a": "b"}}}, "two")
    assert after["metadata"]["managedFields"][0] is live["metadata"]["managedFields"][0]
    assert fields(after)["two"] == {"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}}
