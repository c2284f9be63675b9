"""The graph of what nodes have to do with: kept by small steps, it says what one made of everything says."""

import itertools

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.engine.auth import nodegraph
from isthmus.engine.auth.nodegraph import MACHINES, PODS, NodeGraph
from isthmus.engine.store.row import Change, Row
from isthmus.engine.store.table import Table

NODES, NAMES, NAMESPACES = ("n1", "n2", ""), ("a", "b", "c"), ("x", "y")


class Store:
    """As much of a store as the graph needs: tables, and whom to tell of a commit."""

    def __init__(self):
        self.tables, self.sinks, self.revision = {}, {}, 0

    def table(self, resource):
        return self.tables.setdefault(resource, Table())

    def get(self, key):
        return self.table(key[0]).rows.get(key[1:])

    def subscribe(self, resource, sink):
        self.sinks[resource] = sink

    def commit(self, resource, obj, change=Change.ADDED):
        self.revision += 1
        metadata = obj["metadata"]
        row = Row((resource, metadata["namespace"], metadata["name"]), self.revision, orjson.dumps(obj), change)
        self.table(resource).put(row)
        if resource in self.sinks:
            self.sinks[resource]([row])


def a_pod(namespace, name, node, secret, machine="", phase="Running"):
    metadata = {"namespace": namespace, "name": name, "uid": f"p-{name}"}
    if machine:
        metadata["labels"] = {"kubevirt.io": "virt-launcher"}
        owner = {"kind": "VirtualMachineInstance", "uid": machine, "controller": True}
        metadata["ownerReferences"] = [owner]
    spec = {"nodeName": node, "volumes": [{"name": "v", "secret": {"secretName": secret}}]}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


def a_machine(namespace, name, uid, secret):
    volume = {"name": "v", "cloudInitNoCloud": {"secretRef": {"name": secret}}}
    return {"metadata": {"namespace": namespace, "name": name, "uid": uid}, "spec": {"volumes": [volume]}}


NAME, NAMESPACE, UID = st.sampled_from(NAMES), st.sampled_from(NAMESPACES), st.sampled_from(("u1", "u2"))
PHASE = st.sampled_from(("Pending", "Running", "Succeeded", "Failed"))
POD = st.builds(a_pod, NAMESPACE, NAME, st.sampled_from(NODES), NAME, st.sampled_from(("", "u1", "u2")), PHASE)
MACHINE = st.builds(a_machine, NAMESPACE, NAME, UID, NAME)
EVENT = st.tuples(
    st.one_of(st.tuples(st.just(PODS), POD), st.tuples(st.just(MACHINES), MACHINE)),
    st.sampled_from((Change.ADDED, Change.MODIFIED, Change.DELETED)),
    st.booleans(),
)


def answers(graph):
    questions = itertools.product(NODES[:2], NAMESPACES, NAMES)
    return [
        (graph.refers(node, "secrets", namespace, name), graph.has_pod(node, namespace, name))
        for node, namespace, name in questions
    ] + [graph.has_machine(n, s, u) for n, s, u in itertools.product(NODES[:2], NAMESPACES, ("u1", "u2"))]


@given(st.lists(EVENT, max_size=30))
@settings(max_examples=150, deadline=None)
def test_the_graph_after_any_events_is_that_of_the_store(events):
    store = Store()
    graph = NodeGraph(store)
    taken: dict[str, tuple[str, str]] = {}  # a uid is of one object
    for (resource, obj), change, ask in events:
        if resource == MACHINES:
            metadata = obj["metadata"]
            key = metadata["namespace"], metadata["name"]
            if taken.setdefault(metadata["uid"], key) != key:
                continue
        store.commit(resource, obj, change)
        if ask:
            answers(graph)
    assert answers(graph) == answers(NodeGraph(store))


def test_a_label_alone_does_not_make_a_pod_a_launcher():
    pod = a_pod("x", "a", "n1", "s", machine="u1")
    del pod["metadata"]["ownerReferences"]
    assert nodegraph.find_machine(pod) == ""


def test_a_question_reads_only_what_has_changed(monkeypatch):
    store = Store()
    for number in range(2000):
        store.commit(PODS, a_pod("x", f"p{number}", f"n{number % 40}", f"s{number}"))
    graph = NodeGraph(store)
    assert graph.refers("n7", "secrets", "x", "s7")
    read = []
    monkeypatch.setattr(nodegraph, "read_pod", lambda pod: read.append(pod))
    assert not graph.refers("n7", "secrets", "x", "s8")
    assert read == []
    store.commit(PODS, a_pod("x", "p1", "n1", "s1", phase="Failed"), Change.MODIFIED)
    graph.refers("n7", "secrets", "x", "s8")
    assert len(read) == 1
