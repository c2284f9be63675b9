"""Server-side apply: merging, ownership, conflicts and removal, as kube-apiserver does it."""

import json

import pytest

from isthmus.machinery import errors, managedfields, mergepatch, serversideapply

T1, T2 = "2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z"


@pytest.fixture
def server(kubernetes):
    return Server(kubernetes("core.v1.Pod"), "v1", "Pod")


class Server:
    """One object as a server holds it: `apply` and `patch` it, look at it."""

    def __init__(self, node, api_version, kind):
        self.node, self.identity, self.live = node, {"apiVersion": api_version, "kind": kind}, None

    def apply(self, manager, *, force=False, time=T1, reset_fields=(), subresource="", metadata=None, **rest):
        applied = self.identity | {"metadata": {"name": "web", "namespace": "n", **(metadata or {})}} | rest
        self.live = serversideapply.apply(
            self.live,
            applied,
            node=self.node,
            manager=manager,
            force=force,
            api_version=self.identity["apiVersion"],
            time=time,
            subresource=subresource,
            reset_fields=reset_fields,
        )
        return self.live

    def patch(self, manager, patch, time=T1, subresource=""):
        new = mergepatch.apply(self.live, patch)
        entries = managedfields.update(
            self.live,
            new,
            node=self.node,
            manager=manager,
            api_version=self.identity["apiVersion"],
            time=time,
            subresource=subresource,
        )
        self.live = {**new, "metadata": {**new["metadata"], "managedFields": entries}}

    def fields(self):
        return {entry["manager"]: entry["fieldsV1"] for entry in self.live["metadata"]["managedFields"]}


def container(name, **fields):
    return {"name": name, **fields}


def test_a_created_object_is_what_was_applied_and_owned_leaf_by_leaf(server):
    live = server.apply("ann", metadata={"labels": {"a": "b"}}, spec={"containers": [container("c", image="x")]})
    assert live["spec"] == {"containers": [{"name": "c", "image": "x"}]}
    assert live["metadata"]["managedFields"] == [
        {
            "manager": "ann",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:image": {}}}},
            },
        }
    ]


def test_what_is_no_longer_applied_goes_and_what_others_own_stays(server):
    server.apply("ann", metadata={"labels": {"a": "1", "b": "2"}}, spec={"containers": [container("c", image="x")]})
    server.patch("bob", {"metadata": {"labels": {"z": "26"}}, "spec": {"nodeName": "n1"}})
    server.apply("eve", metadata={"labels": {"b": "2"}})
    server.apply("ann", metadata={"labels": {}}, spec={"containers": [container("d", image="y")]})
    assert server.live["metadata"]["labels"] == {"b": "2", "z": "26"}
    assert server.live["spec"] == {"containers": [{"name": "d", "image": "y"}], "nodeName": "n1"}


def test_an_item_that_another_manager_owns_a_field_of_loses_only_our_fields(server):
    server.apply("ann", spec={"containers": [container("c", image="x", workingDir="/")]})
    server.apply("bob", spec={"containers": [container("c", image="x")]})
    server.apply("ann", spec={})
    assert server.live["spec"]["containers"] == [{"name": "c", "image": "x"}]
    server.apply("bob", spec={})
    assert not server.live["spec"].get("containers")


def test_one_conflict_is_worded_as_kubernetes_words_it(server):
    server.apply("ann", spec={"containers": [container("c", image="x")]})
    server.patch("kubectl-edit", {"metadata": {"labels": {"a": "1"}}}, time=T2)
    with pytest.raises(errors.StatusError) as caught:
        server.apply("ann", metadata={"labels": {"a": "2"}}, spec={"containers": [container("c", image="x")]})
    status = caught.value.status()
    who = 'conflict with "kubectl-edit" using v1 at 2026-11-24T09:00:00Z'
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["message"] == f"Apply failed with 1 conflict: {who}: .metadata.labels.a"
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": who, "field": ".metadata.labels.a"}
    ]


def test_many_conflicts_are_listed_by_manager(server):
    server.apply("ann", spec={"containers": [container("c", image="x")]}, metadata={"labels": {"a": "1"}})
    server.patch("node", {"status": {"phase": "Running"}}, subresource="status")
    with pytest.raises(errors.StatusError) as caught:
        server.apply(
            "bob",
            metadata={"labels": {"a": "2"}},
            spec={"containers": [container("c", image="y")]},
            status={"phase": "Failed"},
        )
    assert caught.value.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "ann":\n- .metadata.labels.a\n- .spec.containers[name="c"].image\n'
        'conflicts with "node" with subresource "status" using v1 at 2026-11-24T08:00:00Z:\n- .status.phase'
    )


def test_the_same_value_is_shared_and_force_takes_another(server):
    server.apply("ann", metadata={"labels": {"a": "1"}})
    server.apply("bob", metadata={"labels": {"a": "1"}})
    label = {"f:metadata": {"f:labels": {"f:a": {}}}}
    assert server.fields() == {"ann": label, "bob": label}
    server.apply("eve", metadata={"labels": {"a": "2"}}, force=True)
    assert server.fields() == {"eve": label}
    assert server.live["metadata"]["labels"] == {"a": "2"}


def test_atomic_fields_have_one_owner_and_are_replaced(server):
    server.apply("ann", spec={"tolerations": [{"key": "a"}], "nodeSelector": {"a": "b"}})
    assert server.fields()["ann"] == {"f:spec": {"f:tolerations": {}, "f:nodeSelector": {}}}
    with pytest.raises(errors.StatusError, match=r"\.spec\.nodeSelector"):
        server.apply("bob", spec={"nodeSelector": {"c": "d"}})
    server.apply("bob", spec={"tolerations": [{"key": "b"}], "nodeSelector": {"c": "d"}}, force=True)
    assert server.live["spec"] == {"tolerations": [{"key": "b"}], "nodeSelector": {"c": "d"}}


def test_finalizers_of_several_appliers_add_up(server):
    server.apply("ann", metadata={"finalizers": ["a"]})
    server.apply("bob", metadata={"finalizers": ["b"]})
    assert sorted(server.live["metadata"]["finalizers"]) == ["a", "b"]
    server.apply("ann")
    assert server.live["metadata"]["finalizers"] == ["b"]


def test_service_ports_meet_by_their_keys_with_the_protocol_filled_in(kubernetes):
    service = Server(kubernetes("core.v1.Service"), "v1", "Service")
    service.apply("ann", spec={"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]})
    service.apply("bob", spec={"ports": [{"port": 53, "name": "dns"}]})
    assert service.live["spec"]["ports"] == [
        {"port": 53, "protocol": "UDP"},
        {"port": 53, "protocol": "TCP", "name": "dns"},
    ]
    element = 'k:{"port":53,"protocol":"TCP"}'
    assert service.fields()["bob"]["f:spec"]["f:ports"] == {element: {".": {}, "f:port": {}, "f:name": {}}}


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        ("ab", "ab", "ab"),
        ("ab", "ba", "ba"),
        ("abc", "b", "abc"),
        ("abc", "cb", "acb"),
        ("abcd", "db", "acdb"),
        ("ab", "xa", "xab"),
        ("ab", "ax", "abx"),
        ("", "ab", "ab"),
    ],
)
def test_merged_lists_follow_the_applied_order(server, live, applied, merged):
    server.apply("ann", spec={"containers": [container(name) for name in live]})
    server.apply("bob", spec={"containers": [container(name) for name in applied]}, force=True)
    assert "".join(item["name"] for item in server.live["spec"]["containers"]) == merged


def test_an_apply_that_changes_nothing_keeps_even_the_time(server):
    first = server.apply("ann", metadata={"labels": {"a": "1"}})
    assert server.apply("ann", metadata={"labels": {"a": "1"}}, time=T2) == first


def test_an_object_without_entries_is_first_given_to_before_first_apply(server):
    server.live = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a": "1"}}, "spec": {}}
    server.apply("ann", metadata={"labels": {"b": "2"}})
    assert list(server.fields()) == ["ann", "before-first-apply"]
    assert server.fields()["before-first-apply"]["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}


def test_reset_fields_are_neither_applied_nor_owned(server):
    server.apply("ann", metadata={"labels": {"a": "1"}}, status={"phase": "Failed"}, reset_fields=[("f:status",)])
    assert "status" not in server.live
    assert server.fields() == {"ann": {"f:metadata": {"f:labels": {"f:a": {}}}}}


def test_where_the_schema_says_nothing_objects_are_granular_and_lists_atomic():
    thing = Server(None, "example.com/v1", "Thing")
    thing.apply("ann", spec={"a": {"b": 1}, "list": [{"name": "x"}]})
    thing.apply("bob", spec={"a": {"c": 2}})
    assert thing.live["spec"] == {"a": {"b": 1, "c": 2}, "list": [{"name": "x"}]}
    assert thing.fields()["ann"]["f:spec"] == {".": {}, "f:a": {".": {}, "f:b": {}}, "f:list": {}}


def test_kubectls_last_applied_annotation_follows_if_there_is_one(server):
    annotation = {serversideapply.LAST_APPLIED: "{}"}
    server.apply("kubectl-client-side-apply", metadata={"annotations": annotation, "labels": {"a": "1"}})
    server.apply("kubectl", metadata={"labels": {"a": "1"}})
    text = server.live["metadata"]["annotations"][serversideapply.LAST_APPLIED]
    assert json.loads(text)["metadata"] == {"name": "web", "namespace": "n", "labels": {"a": "1"}}


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ({"spec": {"containerz": []}}, r"\.spec\.containerz: field not declared in schema"),
        ({"spec": {"containers": {"name": "a"}}}, r"\.spec\.containers: expected list, got map"),
        ({"spec": {"hostname": ["a"]}}, r"\.spec\.hostname: expected string, got list"),
        ({"spec": {"containers": [{"image": "x"}]}}, "omits all key fields"),
        ({"spec": {"containers": ["x"]}}, "may not have non-map elements"),
        ({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}, r'duplicate entries for key \[name="a"\]'),
        ({"metadata": {"managedFields": []}}, "managedFields must be nil"),
        ({"apiVersion": "v2"}, "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"),
    ],
)
def test_a_configuration_that_does_not_fit_is_a_bad_request_and_says_where(server, rest, why):
    with pytest.raises(errors.StatusError, match=why) as caught:
        server.apply("ann", **rest)
    assert caught.value.code == 400
