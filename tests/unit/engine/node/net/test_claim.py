"""Nodes that share a machine: each finds a bridge of its own, and its own again."""

import pytest

from isthmus.engine.node.net import claim


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "DIRECTORY", tmp_path / "bridges")


def test_the_bridge_of_last_time_is_tried_first_and_others_count_on():
    assert list(claim.candidates("br0", "br7"))[:4] == ["br7", "br0", "br1", "br2"]
    assert len(set(claim.candidates("br0", "br7"))) == len(list(claim.candidates("br0", "br7")))
    assert list(claim.candidates("uplink", "uplink")) == ["uplink"]  # the name that somebody chose, and no other


def test_a_claim_keeps_others_out_until_it_ends_and_tells_whose_it_was():
    descriptor, former = claim.take("br0", "one")
    assert former == ""
    assert claim.take("br0", "two") is None
    again, former = claim.take("br0", "one")  # an agent that was not yet gone
    assert former == "one"
    claim.release(again)
    claim.release(descriptor)
    descriptor, former = claim.take("br0", "two")
    assert former == "one"
    claim.give_back(descriptor, former)  # its machines run
    claim.forget("br0", "two")
    descriptor, former = claim.take("br0", "one")
    assert former == "one"
    claim.release(descriptor)
    claim.forget("br0", "one")
    assert not list(claim.DIRECTORY.iterdir())
