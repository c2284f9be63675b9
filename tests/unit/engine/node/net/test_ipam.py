"""Leases: kept over restarts of VM and agent, freed on release, never given twice."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.node.net.ipam import Leases, Pool, choose
from isthmus.engine.node.net.model import NetworkError

POOL = Pool("pod", IPv4Network("10.42.0.0/29"), frozenset({IPv4Address("10.42.0.1")}))


def test_a_lease_outlives_the_agent_and_ends_with_release(tmp_path):
    first = Leases(tmp_path / "leases.json").take(POOL, "default", "web", "eth")
    reopened = Leases(tmp_path / "leases.json")
    assert reopened.take(POOL, "default", "web", "eth") == first == IPv4Address("10.42.0.2")
    assert reopened.release("default", "web") == ["10.42.0.2"]
    assert Leases(tmp_path / "leases.json").take(POOL, "default", "web", "eth") == IPv4Address("10.42.0.3")


def test_an_address_that_could_not_be_written_down_is_not_given(tmp_path):
    path = tmp_path / "net" / "leases.json"
    leases = Leases(path)
    path.parent.write_text("")  # no file can be made there, as on a full disk
    for _ in range(2):
        with pytest.raises(OSError):
            leases.take(POOL, "default", "web", "eth")
    path.parent.unlink()
    given = leases.take(POOL, "default", "web", "eth")
    path.with_name("leases.json.new").mkdir()
    for _ in range(2):
        with pytest.raises(OSError):
            leases.release("default", "web")
    path.with_name("leases.json.new").rmdir()
    assert Leases(path).owners() == leases.owners() == {("default", "web")}
    assert leases.release("default", "web") == [str(given)]


def test_a_full_pool_says_so(tmp_path):
    leases = Leases(tmp_path / "leases.json")
    taken = {leases.take(POOL, "default", f"vm{n}", "eth") for n in range(5)}
    assert len(taken) == 5
    with pytest.raises(NetworkError, match=r"all addresses of pod \(10.42.0.1 to 10.42.0.6\) are taken"):
        leases.take(POOL, "default", "late", "eth")
    leases.release("default", "vm3")
    assert leases.take(POOL, "default", "late", "eth") in taken


def test_an_address_asked_for_is_given_unless_another_has_it(tmp_path):
    leases = Leases(tmp_path / "leases.json")
    assert leases.take(POOL, "default", "web", "eth", "10.42.0.5") == IPv4Address("10.42.0.5")
    with pytest.raises(NetworkError, match="belongs to default/web"):
        leases.take(POOL, "default", "other", "eth", "10.42.0.5")


def test_an_address_outside_a_changed_pool_is_replaced(tmp_path):
    leases = Leases(tmp_path / "leases.json")
    leases.take(POOL, "default", "web", "eth")
    moved = Pool("pod", IPv4Network("10.43.0.0/24"), frozenset({IPv4Address("10.43.0.1")}))
    assert leases.take(moved, "default", "web", "eth") == IPv4Address("10.43.0.2")


@given(st.integers(24, 32), st.sets(st.integers(0, 255)), st.integers(0, 255), st.integers(0, 255))
def test_a_chosen_address_is_free_and_in_range(prefix, taken, low, after):
    subnet = IPv4Network((f"10.0.0.{low}", prefix), strict=False)
    gateway = subnet.network_address + min(1, subnet.num_addresses - 1)
    used = frozenset(IPv4Address(f"10.0.0.{n}") for n in taken)
    pool = Pool("p", subnet, frozenset({gateway}))
    found = choose(pool, used, IPv4Address(f"10.0.0.{after}"))
    free = [a for a in (subnet.hosts() if prefix < 31 else subnet) if a not in used and a != gateway]
    assert (found in free) if free else found is None
