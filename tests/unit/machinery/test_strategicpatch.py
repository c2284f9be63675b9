"""Strategic merge as Kubernetes does it, on Kubernetes' own definitions and on widget.json."""

import pytest

from isthmus.machinery import errors, strategicpatch


def patch_pod(kubernetes, spec, patch):
    result = strategicpatch.apply({"spec": spec}, {"spec": patch}, kubernetes("core.v1.Pod"))
    return result["spec"]


def names(items):
    return [item["name"] for item in items]


def test_containers_merge_by_name_and_keep_what_the_patch_does_not_say(kubernetes):
    spec = {"containers": [{"name": "a", "image": "a:1", "args": ["x"]}, {"name": "b", "image": "b:1"}]}
    result = patch_pod(kubernetes, spec, {"containers": [{"name": "a", "image": "a:2"}]})
    assert result == {"containers": [{"name": "a", "image": "a:2", "args": ["x"]}, {"name": "b", "image": "b:1"}]}


def test_a_new_item_stands_before_the_live_ones_unless_an_order_says_otherwise(kubernetes):
    spec = {"containers": [{"name": "a"}, {"name": "b"}]}
    assert names(patch_pod(kubernetes, spec, {"containers": [{"name": "c"}]})["containers"]) == ["c", "a", "b"]
    ordered = {"$setElementOrder/containers": [{"name": "a"}, {"name": "c"}], "containers": [{"name": "c"}]}
    assert names(patch_pod(kubernetes, spec, ordered)["containers"]) == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("live", "order", "expected"),
    [
        ("abc", "cba", "cba"),
        ("abc", "ca", "bca"),
        ("axbyc", "cb", "axycb"),
        ("ab", "", "ab"),
    ],
)
def test_an_order_alone_reorders_and_items_it_does_not_name_keep_their_place(kubernetes, live, order, expected):
    spec = {"containers": [{"name": name} for name in live]}
    patch = {"$setElementOrder/containers": [{"name": name} for name in order]}
    assert "".join(names(patch_pod(kubernetes, spec, patch)["containers"])) == expected


def test_a_delete_directive_removes_the_item_and_a_replace_directive_the_list(kubernetes):
    spec = {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]}
    assert patch_pod(kubernetes, spec, {"volumes": [{"name": "a", "$patch": "delete"}]})["volumes"] == [
        {"name": "b", "emptyDir": {}}
    ]
    replaced = patch_pod(kubernetes, spec, {"volumes": [{"name": "c"}, {"$patch": "replace"}]})
    assert replaced["volumes"] == [{"name": "c"}]


def test_retain_keys_lets_a_volume_change_its_source(kubernetes):
    spec = {"volumes": [{"name": "a", "emptyDir": {}}]}
    patch = {"volumes": [{"name": "a", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]}
    assert patch_pod(kubernetes, spec, patch)["volumes"] == [{"name": "a", "hostPath": {"path": "/x"}}]


def test_tolerations_are_replaced_as_a_whole(kubernetes):
    spec = {"tolerations": [{"key": "a"}, {"key": "b"}]}
    assert patch_pod(kubernetes, spec, {"tolerations": [{"key": "c"}]})["tolerations"] == [{"key": "c"}]


def test_ports_merge_by_their_merge_key_alone(kubernetes):
    service = {"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}}
    patch = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443}]}}
    result = strategicpatch.apply(service, patch, kubernetes("core.v1.Service"))
    assert result["spec"]["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 8080, "name": "http"},
        {"port": 443},
    ]


def test_conditions_merge_by_type(kubernetes):
    node = {
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}
    }
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    result = strategicpatch.apply(node, patch, kubernetes("core.v1.Node"))
    assert [(c["type"], c["status"]) for c in result["status"]["conditions"]] == [
        ("Ready", "False"),
        ("DiskPressure", "False"),
    ]


def test_finalizers_are_a_set_that_can_be_added_to_and_taken_from(kubernetes):
    pod = {"metadata": {"finalizers": ["a", "b"]}}
    node = kubernetes("core.v1.Pod")
    added = strategicpatch.apply(pod, {"metadata": {"finalizers": ["c", "a"]}}, node)
    assert added["metadata"]["finalizers"] == ["c", "a", "b"]
    removed = strategicpatch.apply(pod, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, node)
    assert removed["metadata"]["finalizers"] == ["b"]
    kubectl = {
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/finalizers": ["c", "b"],
        "finalizers": ["c"],
    }
    assert strategicpatch.apply(pod, {"metadata": kubectl}, node)["metadata"]["finalizers"] == ["c", "b"]


def test_objects_merge_null_deletes_and_directives_replace_or_empty(kubernetes):
    pod = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    node = kubernetes("core.v1.Pod")

    def labels(patch):
        return strategicpatch.apply(pod, {"metadata": {"labels": patch}}, node)["metadata"]["labels"]

    assert labels({"a": None, "c": "3"}) == {"b": "2", "c": "3"}
    assert labels({"$patch": "replace", "c": "3"}) == {"c": "3"}
    assert labels({"$patch": "delete"}) == {}
    assert labels({"$patch": "merge", "c": "3"}) == {"a": "1", "b": "2", "c": "3"}


def test_a_field_with_the_strategy_replace_is_replaced(kubernetes):
    pdb = {"spec": {"selector": {"matchLabels": {"a": "b"}}}}
    patch = {"spec": {"selector": {"matchExpressions": []}}}
    result = strategicpatch.apply(pdb, patch, kubernetes("policy.v1.PodDisruptionBudget"))
    assert result["spec"]["selector"] == {"matchExpressions": []}


def test_nothing_of_the_patch_language_enters_the_document(widget):
    patch = {
        "spec": {
            "struct": {"a": None, "$retainKeys": ["a"], "inner": {"$patch": "delete"}},
            "items": [{"name": "x", "$setElementOrder/ports": [], "ports": [{"port": 80, "$patch": "delete"}]}],
        }
    }
    assert strategicpatch.apply({}, patch, widget) == {"spec": {"struct": {}, "items": [{"name": "x", "ports": []}]}}


def test_without_a_schema_objects_merge_and_lists_are_replaced():
    assert strategicpatch.apply({"a": {"x": 1}, "l": [1]}, {"a": {"y": 2}, "l": [2]}, None) == {
        "a": {"x": 1, "y": 2},
        "l": [2],
    }


@pytest.mark.parametrize(
    ("patch", "code", "why"),
    [
        ([], 400, "is an object"),
        ({"$patch": "swap"}, 400, "unknown patch type"),
        ({"spec": {"items": [{"value": "no name"}]}}, 400, "does not contain declared merge key: name"),
        ({"spec": {"items": [{"name": "a", "$patch": "x"}]}}, 400, "unknown patch type"),
        ({"spec": {"items": ["a"]}}, 400, "not identical"),
        ({"spec": {"items": [["a"]]}}, 422, "lists of lists"),
        ({"spec": {"$retainKeys": "a"}}, 400, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": ["a"], "text": "x"}}, 400, "invalid patch format of retainKeys"),
        ({"spec": {"$setElementOrder/items": {}}}, 400, "invalid patch format of setElementOrder list"),
        (
            {
                "spec": {
                    "$setElementOrder/items": [{"name": "b"}, {"name": "a"}],
                    "items": [{"name": "a"}, {"name": "b"}],
                }
            },
            400,
            "doesn't match",
        ),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, 400, "invalid patch format of primitive list"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused_with_the_reason(widget, patch, code, why):
    live = {"metadata": {"finalizers": ["x"]}, "spec": {"items": [{"name": "a"}]}}
    with pytest.raises(errors.StatusError, match=why) as caught:
        strategicpatch.apply(live, patch, widget)
    assert caught.value.code == code
