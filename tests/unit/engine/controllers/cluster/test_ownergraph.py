"""Garbage: what goes, what waits, what is spared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.client.resources import PODS
from isthmus.engine.controllers.cluster import ownergraph
from isthmus.engine.controllers.cluster.ownergraph import FOREGROUND, ORPHAN, Act, Graph


def obj(uid, *owners, finalizers=(), deleting=False, blocks=True):
    references = [
        {"apiVersion": "v1", "kind": "Pod", "name": o, "uid": o, "blockOwnerDeletion": blocks} for o in owners
    ]
    metadata = {"name": uid, "namespace": "ns", "uid": uid, "ownerReferences": references, "finalizers": finalizers}
    return {"metadata": metadata | ({"deletionTimestamp": "2026"} if deleting else {})}


def graph(*objects):
    out = Graph()
    for each in objects:
        out.put(ownergraph.item_of(PODS, each))
    return out


def decide(g, uid, *absent):
    return g.decide(g.items[uid], frozenset(absent))


def test_an_object_without_owners_or_with_a_living_one_stays():
    g = graph(obj("a"), obj("b", "a"))
    assert decide(g, "a").act is Act.NOTHING
    assert decide(g, "b").act is Act.NOTHING


def test_an_object_goes_when_its_last_owner_is_certainly_gone_and_not_while_it_is_only_unknown():
    g = graph(obj("b", "a"))
    assert [o.uid for o in g.unknown_owners(g.items["b"])] == ["a"]
    assert decide(g, "b").act is Act.NOTHING
    assert decide(g, "b", "a") == ownergraph.Decision(Act.DELETE)


def test_of_two_owners_the_lost_one_is_taken_off():
    g = graph(obj("a"), obj("c", "a", "b"))
    assert decide(g, "c", "b") == ownergraph.Decision(Act.UNLINK, uids=frozenset({"b"}))


def test_foreground_waits_for_blocking_dependents_and_then_ends():
    owner = obj("a", finalizers=[FOREGROUND], deleting=True)
    g = graph(owner, obj("b", "a"))
    waiting = decide(g, "a")
    assert (waiting.act, waiting.dependents) == (Act.NOTHING, ("b",))
    assert decide(g, "b") == ownergraph.Decision(Act.DELETE, policy="Background")
    g.remove("b")
    assert decide(g, "a").act is Act.FINISH_FOREGROUND
    assert decide(graph(owner, obj("b", "a", blocks=False)), "a").act is Act.FINISH_FOREGROUND


def test_foreground_goes_down_the_tree():
    g = graph(obj("a", finalizers=[FOREGROUND], deleting=True), obj("b", "a"), obj("c", "b"))
    assert decide(g, "b").policy == "Foreground"


def test_a_dependent_with_another_living_owner_outlives_a_foreground_deletion():
    g = graph(obj("a", finalizers=[FOREGROUND], deleting=True), obj("x"), obj("b", "a", "x"))
    assert decide(g, "b") == ownergraph.Decision(Act.UNLINK, uids=frozenset({"a"}))


def test_orphaning_names_the_dependents_to_free():
    g = graph(obj("a", finalizers=[ORPHAN], deleting=True), obj("b", "a"))
    assert decide(g, "a") == ownergraph.Decision(Act.ORPHAN, dependents=("b",))


def test_what_is_being_deleted_already_is_left_alone():
    assert decide(graph(obj("b", "a", deleting=True)), "b", "a").act is Act.NOTHING


UIDS = st.sampled_from("abcdef")


@given(st.lists(st.tuples(st.booleans(), UIDS, st.lists(UIDS, max_size=3))))
def test_the_index_of_dependents_is_what_the_items_say(steps):
    g = Graph()
    for put, uid, owners in steps:
        if put:
            g.put(ownergraph.item_of(PODS, obj(uid, *owners)))
        else:
            g.remove(uid)
    expected = {}
    for item in g.items.values():
        for owner in item.owners:
            expected.setdefault(owner.uid, set()).add(item.uid)
    assert g.dependents == expected


@pytest.mark.parametrize("cycle", [("a", "a"), ("a", "b")])
def test_cycles_are_no_trouble(cycle):
    first, second = cycle
    g = graph(obj(first, second), obj(second, first))
    assert decide(g, first).act is Act.NOTHING
