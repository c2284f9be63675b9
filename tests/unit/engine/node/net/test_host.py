"""What the host offers: rights, resolvers, subnets that are free."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from isthmus.engine.node.net import host, resolver
from isthmus.engine.node.net.model import NetworkError

WANTED = IPv4Network("10.42.0.0/24")


def test_missing_rights_are_named():
    assert host.missing_rights("CapEff:\t000001ffffffffff\n", tun=True) == ""
    assert host.missing_rights("CapEff:\t0000000000000000\n", tun=True).startswith(
        "the agent lacks CAP_NET_ADMIN, CAP_SYS"
    )
    assert host.missing_rights("CapEff:\t000001ffffffffff\n", tun=False) == "there is no /dev/net/tun"


def test_a_subnet_that_was_asked_for_is_refused_if_a_route_covers_it():
    with pytest.raises(NetworkError, match=r"overlaps the route to 10\.0\.0\.0/8 through tun0") as error:
        host.choose_subnet(WANTED, None, {IPv4Network("10.0.0.0/8"): "tun0"}, "isthmus0")
    assert error.value.reason == "SubnetInUse"


def test_the_next_free_subnet_is_taken_and_our_own_bridge_is_no_clash():
    assert host.choose_subnet(None, None, {WANTED: "isthmus0"}, "isthmus0") == WANTED
    assert host.choose_subnet(None, None, {WANTED: "docker0"}, "isthmus0") == IPv4Network("10.43.0.0/24")
    assert host.choose_subnet(None, IPv4Network("10.50.0.0/24"), {}, "isthmus0") == IPv4Network("10.50.0.0/24")


def test_a_resolver_on_loopback_is_passed_over_for_the_real_one():
    stub = "nameserver 127.0.0.53\nsearch lab.example.com\n"
    found = resolver.choose([stub, "# real\nnameserver 192.0.2.1\nnameserver fd00::1\nnameserver 192.0.2.2\n"])
    assert found.servers == (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
    assert found.search == ("lab.example.com",)
    assert not found.note


def test_a_host_with_a_loopback_resolver_alone_says_that_guests_get_none():
    found = resolver.choose(["nameserver 127.0.0.53\nnameserver nonsense\n"])
    assert (found.servers, bool(found.note)) == ((), True)
