"""Networks as guests see them: masquerade with declared ports, the pod's address by a bridge, a network of its own.

Two machines: `left` masqueraded, `right` bridged; both also on a NetworkAttachmentDefinition with a subnet.
"""

import contextlib
import json
import socket
import time

import pytest
from tests.e2e import manifests
from tests.e2e.platform import ApiError, wait_for

pytestmark = pytest.mark.e2e
LAN = {"cniVersion": "1.0.0", "type": "bridge", "bridge": "iste2elan", "isGateway": True,
       "ipam": {"type": "host-local", "ranges": [[{"subnet": "192.168.77.0/24"}]]}}  # fmt: skip
NETWORKS = [{"name": "default", "pod": {}}, {"name": "lan", "multus": {"networkName": "lan"}}]


@pytest.fixture(scope="module")
def pair(running_platform):
    platform = running_platform
    nad = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": "lan"},
           "spec": {"config": json.dumps(LAN)}}  # fmt: skip
    ports = [{"port": 80}, {"port": 5000, "protocol": "UDP"}]
    with platform.space.entered():
        platform.kubectl("apply", "-f", "-", stdin=nad)
        for name, binding in (("left", {"masquerade": {}, "ports": ports}), ("right", {"bridge": {}})):
            cards = [{"name": "default", **binding}, {"name": "lan", "bridge": {}}]
            platform.create(manifests.vm(name, "Always", interfaces=cards, networks=NETWORKS))
        for name in ("left", "right"):
            platform.wait_condition("vmi", name, "AgentConnected", 120)
        yield {name: wait_for(lambda name=name: addresses(platform, name), 30) for name in ("left", "right")}
        for name in ("left", "right"):
            platform.delete("vm", name)
        for name in ("left", "right"):
            platform.wait_gone("vmi", name)
        platform.kubectl("delete", "network-attachment-definition", "lan")
        wait_for(lambda: "iste2elan" not in platform.space.links(), 10)  # it goes with its last VM


def addresses(platform, name):
    """By interface, once both are known and the guest has said so."""
    cards = platform.get("vmi", name)["status"]["interfaces"]
    found = {c["name"]: c.get("ipAddress", "") for c in cards if "guest-agent" in c["infoSource"]}
    return found if all(found.get(n) for n in ("default", "lan")) else None


@pytest.fixture
def shells(virtctl, pair):
    opened = {name: virtctl.console(name).login() for name in ("left", "right")}
    yield opened
    for console in opened.values():
        console.close()


def fetch(address, port, seconds=20.0):
    try:
        with socket.create_connection((address, port), seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(b"GET /etc/hostname.txt HTTP/1.0\r\n\r\n")
            data = b""
            while piece := connection.recv(4096):
                data += piece
            return data.decode()
    except OSError as error:
        return f"{type(error).__name__}"


def serve(shell, name, *ports):
    shell.run(f"mkdir -p /www/etc; echo i-am-{name} > /www/etc/hostname.txt")
    for port in ports:
        shell.run(f"httpd -p {port} -h /www")


def test_a_masqueraded_guest_has_its_private_address_and_reaches_out(platform, shells, pair):
    left = shells["left"]
    assert "inet 10.0.2.2/24" in left.run("ip -4 addr show eth0")
    assert left.run("ip route | grep default | cut -d' ' -f3") == "10.0.2.1"
    left.run("ping -c 1 -W 3 192.0.2.2")  # the node, by NAT
    assert left.status == 0
    assert pair["left"]["default"].startswith("10.42.")


def test_only_declared_ports_of_a_masqueraded_guest_are_reached_at_the_pods_address(platform, shells, pair):
    serve(shells["left"], "left", 80, 81)
    assert "i-am-left" in fetch(pair["left"]["default"], 80)
    assert fetch(pair["left"]["default"], 81, 3) in ("ConnectionRefusedError", "TimeoutError")


def test_a_bridged_guest_has_the_pods_address_itself_and_all_its_ports(platform, shells, pair):
    right = shells["right"]
    [pod] = platform.list("pod", query="labelSelector=vm.kubevirt.io/name=right")
    assert pair["right"]["default"] == pod["status"]["podIP"]
    assert f"inet {pod['status']['podIP']}/" in right.run("ip -4 addr show eth0")
    serve(right, "right", 81)
    assert "i-am-right" in fetch(pair["right"]["default"], 81)
    assert "i-am-right" in shells["left"].run(f"wget -qO- http://{pair['right']['default']}:81/etc/hostname.txt")


def test_a_network_of_its_own_joins_the_guests_and_the_node_is_its_gateway(platform, shells, pair):
    for name in ("left", "right"):
        assert f"inet {pair[name]['lan']}/24" in shells[name].run("ip -4 addr show eth1")
        assert pair[name]["lan"].startswith("192.168.77.")
    shells["left"].run(f"ping -c 1 -W 3 {pair['right']['lan']}")
    assert shells["left"].status == 0
    shells["left"].run("ping -c 1 -W 3 192.168.77.1")
    assert shells["left"].status == 0
    assert "iste2elan" in platform.space.links()


def test_the_launcher_pod_tells_its_networks_as_multus_does(platform, pair):
    [pod] = platform.list("pod", query="labelSelector=vm.kubevirt.io/name=left")
    asked = json.loads(pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"])
    assert [(n["name"], n["namespace"]) for n in asked] == [("lan", "default")]


def test_a_port_is_forwarded_by_websocket_for_each_connection(platform, virtctl, shells, pair):
    serve(shells["left"], "left", 80)
    for kind in ("vmi", "vm"):
        with virtctl.port_forward(kind, "left", 80) as port:
            assert "i-am-left" in fetch("127.0.0.1", port)
            assert "i-am-left" in fetch("127.0.0.1", port)
    stream = virtctl.dial("vmi", "left", 80)
    stream.send(b"GET /etc/hostname.txt HTTP/1.0\r\n\r\n")
    data = b""
    with contextlib.suppress(Exception):
        while b"i-am" not in data:
            data += stream.recv(5)
    assert b"i-am-left" in data
    stream.close()
    for port in ("0", "70000", "x"):
        with pytest.raises(ApiError) as refused:
            virtctl.dial("vmi", "left", port)
        assert refused.value.code == 400


def test_datagrams_are_forwarded_one_a_message(platform, virtctl, shells, pair):
    """Nobody listens in the guest, whose kernel counts what arrives for nobody."""

    def counted():
        return int(shells["left"].run("grep '^Udp: [0-9]' /proc/net/snmp").split()[2])

    before = counted()
    stream = virtctl.dial("vmi", "left", 5000, "udp")
    for _ in range(3):
        stream.send(b"over-udp")
        time.sleep(0.3)
    wait_for(lambda: counted() >= before + 1, 10)
    assert counted() <= before + 3
    stream.close()
