"""The commands for a node and a VM, as text: golden files in tests/golden/net (`UPDATE_GOLDEN=1` rewrites them)."""

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from isthmus.engine.node.net import cni, link, plan
from isthmus.engine.node.net.link import Facts, Owner
from isthmus.engine.node.net.model import (
    DhcpOptions,
    NetworkConfig,
    NetworkError,
    NicRequest,
    PodNetwork,
    Port,
)
from isthmus.engine.node.net.resolver import Resolver

GOLDEN = Path(__file__).parents[4] / "golden/net"
OWNER = Owner("scope", "uid-1", "default", "web.example.com")
FACTS = Facts(NetworkConfig(), IPv4Network("10.42.0.0/24"), 1400, Resolver((IPv4Address("9.9.9.9"),), ("lab",)))
NAD = cni.parse(
    '{"type": "bridge", "bridge": "br50", "vlan": 100, "isGateway": true, "ipMasq": true, "macspoofchk": true,'
    ' "hairpinMode": true, "ipam": {"type": "host-local", "subnet": "10.10.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}',
    "default/vlan100",
)
PLAIN = cni.parse('{"type": "bridge", "bridge": "br50"}', "default/lan")


def check(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def decide(request: NicRequest, address: str = "", facts: Facts = FACTS) -> link.Link:
    return link.decide(request, OWNER, facts, IPv4Address(address) if address else None)


def whole(links: list[link.Link], facts: Facts = FACTS) -> str:
    steps = plan.attach("ns1", links, facts, "default/web", new=True)
    return plan.render([*steps, plan.rules("ns1", "isthmus", links), plan.detach("ns1", [made.host for made in links])])


CASES = {
    "masquerade": [(NicRequest("default", "masquerade", PodNetwork()), "10.42.0.9")],
    "masquerade-ports": [
        (
            NicRequest("default", "masquerade", PodNetwork("192.168.9.0/29"), queues=2,
                       ports=(Port(443), Port(80), Port(53, "UDP"))),
            "10.42.0.9",
        )
    ],
    "bridge-pod": [(NicRequest("default", "bridge", PodNetwork(), mac="02-AA-00-00-00-01"), "10.42.0.9")],
    "container": [(NicRequest("default", "", PodNetwork()), "10.42.0.9")],
    "pod-and-nads": [
        (NicRequest("default", "masquerade", PodNetwork()), "10.42.0.9"),
        (NicRequest("tagged", "bridge", NAD), "10.10.0.7"),
        (NicRequest("plain", "bridge", PLAIN), ""),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_commands_for_a_vm_are_as_recorded(name):
    check(name, whole([decide(*case) for case in CASES[name]]))


@pytest.mark.parametrize("filtering", [False, True])
def test_the_commands_for_a_vlan_depend_on_what_the_kernel_can_do(filtering):
    facts = Facts(FACTS.config, FACTS.subnet, FACTS.mtu, FACTS.resolver, filtering)
    bridge = plan.bridge_of(NAD, "02:00:00:00:00:99", lambda name: False, facts)
    made = decide(NicRequest("tagged", "bridge", NAD), "10.10.0.7", facts)
    check(f"vlan-{'filtering' if filtering else 'emulated'}", plan.render(bridge) + whole([made], facts))
    assert bool(made.notes) is not filtering


def test_the_commands_for_the_node_are_as_recorded():
    lines = plan.bridge("isthmus0", "02:00:00:00:00:01", 1400, False, FACTS.gateway)
    table = plan.node_table("isthmus", [(FACTS.subnet, "isthmus0"), (IPv4Network("10.10.0.0/24"), "br50")])
    check("node", plan.render([plan.Step("ip", tuple(lines)), plan.Step("nft", table)]))


def test_an_existing_bridge_keeps_its_settings():
    assert plan.bridge("br50", "02:00:00:00:00:01", 1400, True, None) == ["link set br50 up"]


def test_the_guest_is_told_all_that_it_needs():
    lease = decide(CASES["masquerade"][0][0], "10.42.0.9").lease
    assert (str(lease.address), str(lease.router), lease.mtu, lease.host_name) == ("10.0.2.2", "10.0.2.1", 1400, "web")
    assert (lease.dns, lease.search) == ((IPv4Address("9.9.9.9"),), ("lab",))


def test_a_bridge_network_gives_a_default_route_only_if_it_says_so():
    assert str(decide(NicRequest("tagged", "bridge", NAD), "10.10.0.7").lease.router) == "10.10.0.1"
    closed = cni.parse(
        '{"type": "bridge", "isGateway": true, "ipam": {"type": "host-local", "subnet": "10.10.0.0/24"}}', "d/x"
    )
    assert decide(NicRequest("lan", "bridge", closed), "10.10.0.7").lease.router is None


def test_the_mac_depends_on_the_vm_not_on_its_incarnation():
    request = NicRequest("default", "masquerade", PodNetwork())
    again = link.decide(request, Owner("scope", "uid-2", "default", OWNER.name), FACTS, IPv4Address("10.42.0.10"))
    assert again.mac == decide(request, "10.42.0.9").mac
    assert again.host != decide(request, "10.42.0.9").host
    other = Facts(NetworkConfig(salt="other"), FACTS.subnet, FACTS.mtu, FACTS.resolver)
    assert decide(request, "10.42.0.9", other).mac != again.mac


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            NicRequest("a", "sriov", PodNetwork()),
            "binding 'sriov' on the pod network is not available; use masquerade or",
        ),
        (NicRequest("a", "masquerade", PLAIN), "binding 'masquerade' on another network is not available; use bridge"),
        (NicRequest('a" up\nlink del eth0', "masquerade", PodNetwork()), "a name has letters"),
        (NicRequest("a", "masquerade", PodNetwork(), mac="01:00:00:00:00:01"), "no unicast MAC"),
        (NicRequest("a", "masquerade", PodNetwork(), mac='02:00:00:00:00:01" up'), "no unicast MAC"),
    ],
)
def test_what_no_node_can_do_is_refused_before_anything_is_made(request_, message):
    with pytest.raises(NetworkError, match=message):
        link.check([request_])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (NicRequest("a", "masquerade", PodNetwork("10.0.2.0/31")), "no room for two"),
        (NicRequest("a", "masquerade", PodNetwork("fd00::/64")), "no IPv4 network"),
        (NicRequest("a", "masquerade", PodNetwork(), dhcp=DhcpOptions(private={12: "x"})), "224 to 254, not 12"),
    ],
)
def test_a_wrong_setting_is_named(request_, message):
    with pytest.raises(NetworkError, match=message):
        decide(request_, "10.42.0.9")


def test_two_interfaces_cannot_share_a_name_or_the_pod_network():
    pod = NicRequest("a", "masquerade", PodNetwork())
    with pytest.raises(NetworkError, match="same name"):
        link.check([pod, pod])
    with pytest.raises(NetworkError, match="more than one"):
        link.check([pod, NicRequest("b", "masquerade", PodNetwork())])
