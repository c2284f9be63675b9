"""NetworkAttachmentDefinitions as the KubeVirt user guide and clusters write them."""

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.node.net import cni
from isthmus.engine.node.net.model import Ipam, NetworkError, Route


def parse(**plugin):
    return cni.parse(json.dumps({"cniVersion": "0.3.1", "type": "bridge", "bridge": "br50", **plugin}), "default/lan")


def test_a_bridge_without_ipam_gives_no_addresses():
    network = parse(vlan=100, mtu=9000, macspoofchk=True, ipam={})
    assert (network.name, network.bridge, network.vlan, network.mtu) == ("default/lan", "br50", 100, 9000)
    assert (network.mac_spoof_check, network.ipam) == (True, None)


@pytest.mark.parametrize(
    "ipam",
    [
        {"type": "host-local", "subnet": "10.10.0.0/24", "rangeStart": "10.10.0.20", "gateway": "10.10.0.254"},
        {"type": "host-local", "ranges": [[{"subnet": "fd00::/64"}], [
            {"subnet": "10.10.0.0/24", "rangeStart": "10.10.0.20", "gateway": "10.10.0.254"}]]},
        {"type": "whereabouts", "range": "10.10.0.0/24", "range_start": "10.10.0.20", "gateway": "10.10.0.254"},
    ],
    ids=["flat", "ranges", "whereabouts"],
)  # fmt: skip
def test_the_forms_of_a_range_mean_the_same(ipam):
    assert parse(ipam=ipam).ipam == Ipam(
        IPv4Network("10.10.0.0/24"), IPv4Address("10.10.0.20"), None, IPv4Address("10.10.0.254")
    )


def test_static_addresses_routes_and_dns_are_read():
    network = parse(
        isDefaultGateway=True,
        ipam={
            "type": "static",
            "addresses": [{"address": "10.10.0.5/24", "gateway": "10.10.0.1"}, {"address": "fd00::5/64"}],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "172.16.0.0/12", "gw": "10.10.0.2"}, {"dst": "::/0"}],
            "dns": {"nameservers": ["9.9.9.9"], "search": ["example.com"]},
        },
    )
    assert (network.is_gateway, network.is_default_gateway) == (True, True)
    assert network.ipam == Ipam(
        subnet=IPv4Network("10.10.0.0/24"),
        gateway=IPv4Address("10.10.0.1"),
        fixed=(IPv4Interface("10.10.0.5/24"),),
        routes=(Route(IPv4Network("0.0.0.0/0")), Route(IPv4Network("172.16.0.0/12"), IPv4Address("10.10.0.2"))),
        dns=("9.9.9.9",),
        search=("example.com",),
    )


def test_a_list_of_plugins_says_what_has_no_effect():
    plugins = [
        {"type": "cnv-bridge", "bridge": "br50"},
        {"type": "tuning", "mtu": 1450},
        {"type": "portmap"},
        {"type": "x"},
    ]
    network = cni.parse(json.dumps({"cniVersion": "1.0.0", "name": "lan", "plugins": plugins}), "default/lan")
    assert network.mtu == 1450
    assert [note.split(":")[0] for note in network.notes] == ["chained plugin portmap", "chained plugin x"]


def test_a_dhcp_server_of_the_network_is_left_to_it():
    network = parse(ipam={"type": "dhcp"})
    assert network.ipam is None
    assert "ipam dhcp" in network.notes[0]


@pytest.mark.parametrize(
    ("config", "reason", "message"),
    [
        ("", "InvalidNetworkConfig", "not JSON"),
        ("[]", "InvalidNetworkConfig", "expected a CNI configuration object"),
        ('{"plugins": []}', "InvalidNetworkConfig", "expected a CNI configuration object"),
        ("{}", "UnsupportedNetwork", "CNI type None is not available"),
        ('{"type": "macvlan", "master": "eth0"}', "UnsupportedNetwork", "'macvlan' is not available"),
        ('{"type": "bridge", "bridge": "a b"}', "InvalidNetworkConfig", "no link name"),
        ('{"type": "bridge", "bridge": "br0\\" up"}', "InvalidNetworkConfig", "no link name"),
        ('{"type": "bridge", "vlan": 4095}', "InvalidNetworkConfig", "vlan: 4095: expected 0 to 4094"),
        ('{"type": "bridge", "ipam": {"type": "host-local", "subnet": "x"}}', "InvalidNetworkConfig", "no subnet"),
        ('{"type": "bridge", "ipam": {"type": "static", "addresses": 5}}', "InvalidNetworkConfig", "expected a list"),
        (
            '{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24", "rangeStart": "10.1.0.1"}}',
            "InvalidNetworkConfig", "rangeStart: 10.1.0.1 is not in 10.0.0.0/24",
        ),
        ("[" * 60000, "InvalidNetworkConfig", "not JSON"),
        (" " * 70000, "InvalidNetworkConfig", "at most 65536"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_with_the_field(config, reason, message):
    with pytest.raises(NetworkError, match=message) as error:
        cni.parse(config, "default/lan")
    assert error.value.reason == reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(
            st.sampled_from(["ranges", "subnet", "routes", "dst", "addresses", "dns", "search", "gw"]), inner),
        max_leaves=20,
    )
)  # fmt: skip
def test_any_json_is_read_or_refused_with_the_one_error(value):
    for kind in ("host-local", "static"):
        ipam = {**value, "type": kind} if isinstance(value, dict) else value
        for config in (value, {"type": "bridge", "ipam": ipam}):
            try:
                cni.parse(json.dumps(config), "default/lan")
            except NetworkError:
                continue
