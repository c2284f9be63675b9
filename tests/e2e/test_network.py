"""The node's networks with real namespaces, bridges, nft and a real DHCP client, all inside a namespace of ours.

The guest is a namespace whose link takes the tap's place, so that no QEMU is needed.
"""

import asyncio
import ctypes
import json
import os
import subprocess
import time
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from isthmus.engine.node.net import cni, netns
from isthmus.engine.node.net.network import Network, NetworkConfig, NetworkError, NicRequest, PodNetwork, Port

pytestmark = pytest.mark.e2e
NODE, GUEST = "istest-node", "istest-guest"
KEY = ("default", "web")
CONFIG = NetworkConfig(bridge="istestbr0", prefix="istest", table="istest", subnet=IPv4Network("10.231.7.0/24"))
POD = NicRequest("default", "masquerade", PodNetwork())
LAN = cni.parse('{"type": "bridge", "bridge": "istestnad"}', "default/lan")
SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace $ip/$mask dev $interface
[ -n "$mtu" ] && ip link set $interface mtu $mtu
[ -n "$router" ] && ip route replace default via $router
echo "$ip $router $dns $hostname $mtu $serverid" > $LEASE
"""


def sh(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.stderr}")
    return done.stdout


def links() -> set[str]:
    return {link["ifname"] for link in json.loads(sh("ip", "-j", "link"))}


def namespaces() -> set[str]:
    """Ours; the machine may have others."""
    return {path.name for path in netns.NAMESPACES.glob("istest*")}


@pytest.fixture
def node():
    """The test and all that it starts live in a namespace of their own: the machine's links stay untouched."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    sh("ip", "netns", "del", NODE, check=False)
    sh("ip", "netns", "add", NODE)
    netns.enter(netns.path_of(NODE))
    sh("ip", "link", "set", "lo", "up")
    yield
    assert ctypes.CDLL(None).setns(home, 0) == 0
    os.close(home)
    for path in netns.NAMESPACES.glob("istest*"):
        sh("ip", "netns", "del", path.name, check=False)


@pytest.fixture
async def network(node, tmp_path):
    made = Network(tmp_path / "net", "n1", CONFIG)
    await made.start()
    yield made
    await made.remove()
    await made.stop()


def plug_guest(attachment, nic, guest: str = GUEST) -> None:
    """A namespace takes the place of QEMU at the nic's tap."""
    inside = attachment.netns.name
    bridge = "k6t" + nic.tap.removeprefix("tap") if nic.tap != "tap0" else "k6t-eth0"
    bridge = bridge if bridge.startswith("k6t-") else bridge.replace("k6t", "k6t-")
    sh("ip", "netns", "add", guest)
    sh("ip", "-n", inside, "link", "del", nic.tap)
    peer = ["peer", "name", "eth0", "address", nic.mac, "netns", guest]
    sh("ip", "-n", inside, "link", "add", nic.tap, "type", "veth", *peer)
    sh("ip", "-n", inside, "link", "set", nic.tap, "master", bridge, "up")
    sh("ip", "-n", guest, "link", "set", "eth0", "up")
    sh("ip", "-n", guest, "link", "set", "lo", "up")


async def lease(tmp_path: Path, guest: str = GUEST, tries: int = 5) -> list[str]:
    """Run a real DHCP client in the guest; its lease's words, or nothing."""
    script, out = tmp_path / f"{guest}.sh", tmp_path / f"{guest}.lease"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    out.unlink(missing_ok=True)
    client = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", str(tries), "-T", "1", "-O", "mtu"]
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", guest, "env", f"LEASE={out}", *client, "-s", str(script),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await process.wait()
    return out.read_text().split() if out.exists() else []


async def ping(address: str, inside: str = "") -> bool:
    where = ["ip", "netns", "exec", inside] if inside else []
    process = await asyncio.create_subprocess_exec(
        *where, "busybox", "ping", "-c", "1", "-W", "2", address, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return await process.wait() == 0


async def serve(inside: str, port: int, text: str):
    """An HTTP-less echo: whoever connects reads `text`."""
    return await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", inside, "busybox", "nc", "-ll", "-p", str(port), "-e", "/bin/echo", text
    )


async def read(address: str, port: int) -> str:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 2)
    except OSError:
        return ""
    data = await asyncio.wait_for(reader.read(), 2)
    writer.close()
    return data.decode().strip()


async def test_a_masqueraded_guest_gets_its_lease_and_reaches_out_and_is_reached_at_the_pod_ip(network, tmp_path):
    attachment = await network.attach("u-1", [POD], KEY)
    nic = attachment.nics[0]
    plug_guest(attachment, nic)
    words = await lease(tmp_path)
    assert words[:2] == ["10.0.2.2", "10.0.2.1"]
    assert "web" in words
    assert await ping("10.231.7.1", GUEST)
    assert await ping(nic.pod_ip)
    server = await serve(GUEST, 8080, "hello")
    await asyncio.sleep(0.2)
    assert await read(nic.pod_ip, 8080) == "hello"
    server.kill()
    await server.wait()


async def test_only_declared_ports_reach_a_masqueraded_guest(network, tmp_path):
    request = NicRequest("default", "masquerade", PodNetwork("192.168.77.0/28"), ports=(Port(8080), Port(53, "UDP")))
    attachment = await network.attach("u-1", [request], KEY)
    plug_guest(attachment, attachment.nics[0])
    assert (await lease(tmp_path))[0] == "192.168.77.2"
    servers = [await serve(GUEST, port, "hello") for port in (8080, 9090)]
    await asyncio.sleep(0.2)
    assert await read(attachment.pod_ips[0], 8080) == "hello"
    assert await read(attachment.pod_ips[0], 9090) == ""
    for server in servers:
        server.kill()
        await server.wait()


async def test_bridge_binding_gives_the_pod_address_to_the_guest(network, tmp_path):
    attachment = await network.attach("u-1", [NicRequest("default", "bridge", PodNetwork())], KEY)
    plug_guest(attachment, attachment.nics[0])
    words = await lease(tmp_path)
    assert words[:2] == [attachment.pod_ips[0], "10.231.7.1"]
    assert await ping("10.231.7.1", GUEST)
    assert await ping(attachment.pod_ips[0])


async def test_a_bridge_network_with_a_gateway_is_made_on_demand_and_its_guest_is_reached(network, tmp_path):
    config = {
        "type": "bridge", "bridge": "istestnad", "isGateway": True,
        "ipam": {"type": "host-local", "subnet": "10.231.8.0/24", "rangeStart": "10.231.8.50"},
    }  # fmt: skip
    request = NicRequest("lan", "bridge", cni.parse(json.dumps(config), "default/lan"))
    attachment = await network.attach("u-1", [request], KEY)
    assert attachment.nics[0].addresses == ("10.231.8.50",)
    plug_guest(attachment, attachment.nics[0])
    assert (await lease(tmp_path))[0] == "10.231.8.50"
    assert await ping("10.231.8.50")
    # A guest that was imported with a static address of its own.
    sh("ip", "-n", GUEST, "addr", "flush", "dev", "eth0")
    sh("ip", "-n", GUEST, "addr", "add", "10.231.8.9/24", "dev", "eth0")
    assert await ping("10.231.8.9")


async def test_no_dhcp_is_served_on_a_bridge_network_without_ipam(network, tmp_path):
    nad = cni.parse('{"type": "bridge", "bridge": "istestnad"}', "default/lan")
    attachment = await network.attach("u-1", [NicRequest("lan", "bridge", nad)], KEY)
    assert attachment.nics[0].addresses == ()
    plug_guest(attachment, attachment.nics[0])
    assert await lease(tmp_path, tries=1) == []


async def test_the_address_and_mac_stay_over_stop_and_start_until_release(network):
    first = await network.attach("u-1", [POD], KEY)
    await network.detach("u-1")
    other = await network.attach("u-2", [POD], ("default", "other"))
    again = await network.attach("u-3", [POD], KEY)
    assert (again.pod_ips, again.nics[0].mac) == (first.pod_ips, first.nics[0].mac)
    assert other.pod_ips != first.pod_ips
    await network.detach("u-3")
    await network.release(*KEY)
    assert (await network.attach("u-4", [POD], KEY)).pod_ips != first.pod_ips


async def test_a_restarted_agent_serves_dhcp_again_and_removes_what_dead_vms_left(network, tmp_path):
    living = await network.attach("u-1", [POD], KEY)
    dead = await network.attach("u-2", [POD], ("default", "dead"))
    await network.stop()
    plug_guest(living, living.nics[0])
    assert await lease(tmp_path, tries=1) == []
    restarted = Network(tmp_path / "net", "n1", CONFIG)
    await restarted.start()
    await restarted.adopt({"u-1"})
    assert (await lease(tmp_path))[0] == "10.0.2.2"
    assert not dead.netns.exists()
    assert await restarted.attach("u-1", [POD], KEY) == living
    await restarted.stop()


async def test_a_nic_is_plugged_unplugged_and_moved_to_another_bridge_while_the_vm_runs(network, tmp_path):
    lan_a, lan_b = (
        NicRequest("lan", "bridge", cni.parse(json.dumps({
            "type": "bridge", "bridge": f"istest{x}", "isGateway": True,
            "ipam": {"type": "host-local", "subnet": f"10.231.{n}.0/24"}}), f"default/{x}"))
        for x, n in (("a", 21), ("b", 22))
    )  # fmt: skip
    await network.attach("u-1", [POD], KEY)
    plugged = await network.attach("u-1", [POD, lan_a], KEY)
    plug_guest(plugged, plugged.nics[1])
    assert (await lease(tmp_path))[0] == "10.231.21.2"
    moved = await network.attach("u-1", [POD, lan_b], KEY)
    assert moved.nics[1].mac == plugged.nics[1].mac
    assert (await lease(tmp_path))[0] == "10.231.22.2"
    assert await ping("10.231.22.1", GUEST)
    unplugged = await network.attach("u-1", [POD], KEY)
    assert [nic.name for nic in unplugged.nics] == ["default"]
    assert "k6t-eth0" in sh("ip", "-n", unplugged.netns.name, "link")
    assert moved.nics[1].interface not in sh("ip", "-n", unplugged.netns.name, "link")


async def test_a_vlan_is_separate_from_its_bridge_whatever_the_kernel_can_do(network):
    plain = cni.parse('{"type": "bridge", "bridge": "istestnad"}', "default/lan")
    tagged = cni.parse('{"type": "bridge", "bridge": "istestnad", "vlan": 100}', "default/vlan100")
    attachment = await network.attach("u-1", [NicRequest("a", "bridge", plain), NicRequest("b", "bridge", tagged)], KEY)
    links = {link["ifname"]: link for link in json.loads(sh("ip", "-j", "-d", "link"))}
    if "istestnad.100" in links:
        assert "VLAN 100" in attachment.nics[1].notes[0]
    else:
        assert links["istestnad"]["linkinfo"]["info_data"]["vlan_filtering"] == 1


async def test_a_failed_attach_leaves_nothing_behind(network):
    sh("ip", "link", "add", "istestbad", "type", "veth", "peer", "name", "istestbad2")  # no bridge, so no master
    nad = cni.parse('{"type": "bridge", "bridge": "istestbad"}', "default/bad")
    before = sh("ip", "-o", "link").count("\n"), namespaces()
    with pytest.raises(NetworkError, match="ip: "):
        await network.attach("u-1", [POD, NicRequest("lan", "bridge", nad)], KEY)
    assert (sh("ip", "-o", "link").count("\n"), namespaces()) == before


async def test_detach_and_remove_leave_the_host_as_it_was(node, tmp_path):
    before = sh("ip", "-o", "link").count("\n"), sh("nft", "list", "ruleset"), namespaces()
    made = Network(tmp_path / "net", "n1", CONFIG)
    await made.start()
    await made.start()
    await made.attach("u-1", [POD], KEY)
    await made.detach("u-1")
    await made.detach("u-1")
    await made.remove()
    assert (sh("ip", "-o", "link").count("\n"), sh("nft", "list", "ruleset"), namespaces()) == before


async def test_nodes_of_one_machine_have_bridges_addresses_and_rules_of_their_own(node, tmp_path):
    before = sh("ip", "-o", "link").count("\n"), sh("nft", "list", "ruleset"), namespaces()
    config = replace(CONFIG, subnet=None)
    nodes = [Network(tmp_path / name, name, config) for name in ("n1", "n2")]
    for made in nodes:
        await made.start()
    first, second = [await made.attach("u-1", [POD], KEY) for made in nodes]
    assert first.pod_ips != second.pod_ips
    assert {"istestbr0", "istestbr1"} <= links()
    assert sh("nft", "list", "ruleset").count("masquerade") == 2
    await nodes[0].stop()
    await nodes[1].stop()
    third = Network(tmp_path / "n3", "n3", config)
    await third.start()  # the others are away, their machines are not
    again = Network(tmp_path / "n2", "n2", config)
    await again.start()
    assert await again.attach("u-1", [POD], KEY) == second
    assert "istestbr2" in links()
    for made in (nodes[0], again, third):
        await made.remove()
        await made.stop()
    assert (sh("ip", "-o", "link").count("\n"), sh("nft", "list", "ruleset"), namespaces()) == before


GATEWAY = json.dumps({
    "type": "bridge", "bridge": "istestgw", "isGateway": True, "ipMasq": True,
    "ipam": {"type": "host-local", "subnet": "10.231.9.0/24"},
})  # fmt: skip


async def test_the_bridge_of_a_network_goes_with_its_last_vm_and_its_address_with_it(network):
    before = links(), sh("nft", "list", "ruleset")
    request = NicRequest("lan", "bridge", cni.parse(GATEWAY, "default/lan"))
    for vm in ("u-1", "u-2"):
        await network.attach(vm, [POD, request], ("default", vm))
    await network.detach("u-1")
    assert "istestgw" in links()
    await network.detach("u-2")
    assert (links(), sh("nft", "list", "ruleset")) == before
    await network.attach("u-1", [POD, request], KEY)
    assert "istestgw" in links()


async def test_a_bridge_with_an_address_or_a_port_that_is_not_ours_stays(network):
    request = NicRequest("lan", "bridge", cni.parse(GATEWAY, "default/lan"))
    await network.attach("u-1", [request], KEY)
    sh("ip", "addr", "add", "10.231.9.77/24", "dev", "istestgw")
    await network.detach("u-1")
    assert "istestgw" in links()
    sh("ip", "addr", "del", "10.231.9.77/24", "dev", "istestgw")
    sh("ip", "link", "add", "istestp0", "type", "veth", "peer", "name", "istestp1")
    sh("ip", "link", "set", "istestp0", "master", "istestgw")
    await network.tidy()
    assert "istestgw" in links()
    await network.remove()
    assert "istestgw" in links()
    sh("ip", "link", "del", "istestgw")


async def test_a_restarted_agent_drops_the_bridge_that_a_dead_vm_left(node, tmp_path):
    first = Network(tmp_path / "net", "n1", CONFIG)
    await first.start()
    before = links()
    await first.attach("u-1", [NicRequest("lan", "bridge", cni.parse(GATEWAY, "default/lan"))], KEY)
    second = Network(tmp_path / "net", "n1", CONFIG)
    await second.start()
    await second.adopt(set())
    assert links() == before
    await second.remove()


async def test_attach_and_detach_take_little_time(network, capsys):
    took = {"attach": [], "detach": []}
    for n in range(10):
        start = time.perf_counter()
        await network.attach(f"u-{n}", [POD], ("default", f"vm{n}"))
        took["attach"].append(time.perf_counter() - start)
    for n in range(10):
        start = time.perf_counter()
        await network.detach(f"u-{n}")
        took["detach"].append(time.perf_counter() - start)
    with capsys.disabled():
        for what, times in took.items():
            print(f"\n{what}: median {sorted(times)[5] * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms")
    assert sorted(took["attach"])[5] < 1


async def test_a_vms_namespace_joins_no_two_of_its_networks(network, tmp_path):
    """A neighbour on the bridge network cannot reach the pod network through the VM's namespace, nor hear of it."""
    config = {"type": "bridge", "bridge": "istestnad", "ipam": {"type": "host-local", "subnet": "10.231.8.0/24"}}
    lan = NicRequest("lan", "bridge", cni.parse(json.dumps(config), "default/lan"))
    attachment = await network.attach("u-1", [POD, lan], KEY)
    for command in ("addr add 10.231.8.200/24 dev istestnad", "link set istestnad up"):
        sh("ip", *command.split())
    inside = attachment.netns.name
    assert "10.231.7." in sh("ip", "-n", inside, "addr")
    for address in (attachment.pod_ips[0], "169.254.75.10"):
        argv = ["busybox", "arping", "-c", "1", "-w", "1", "-I", "istestnad", address]
        process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL)
        assert await process.wait() != 0
    plug_guest(attachment, attachment.nics[1])
    assert (await lease(tmp_path))[0] == attachment.nics[1].addresses[0]
    assert await ping(attachment.nics[1].addresses[0])


async def test_undeclared_ports_cannot_be_reached_by_routing_around_the_nat(network, tmp_path):
    request = NicRequest("default", "masquerade", PodNetwork(), ports=(Port(8080),))
    attachment = await network.attach("u-1", [request], KEY)
    plug_guest(attachment, attachment.nics[0])
    await lease(tmp_path)
    sh("ip", "route", "add", "10.0.2.0/24", "via", attachment.pod_ips[0])
    server = await serve(GUEST, 9090, "hello")
    await asyncio.sleep(0.2)
    assert await read("10.0.2.2", 9090) == ""
    server.kill()
    await server.wait()


def qemu_accepts(netdev: str, inside: str = "") -> str:
    """Start QEMU with this interface and end it; what it complained about."""
    where = ["ip", "netns", "exec", inside] if inside else []
    machine = ["qemu-system-x86_64", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-monitor", "stdio"]
    device = ["-netdev", f"{netdev},id=n0", "-device", "virtio-net-pci,netdev=n0"]
    done = subprocess.run([*where, *machine, *device], input=b"quit\n", capture_output=True, check=False)
    return done.stderr.decode()


async def test_qemu_opens_the_tap_and_takes_the_options_of_user_networking(network, tmp_path):
    attachment = await network.attach("u-1", [POD, NicRequest("wide", "bridge", LAN, queues=2)], KEY)
    single, wide = attachment.nics
    options = "script=no,downscript=no"
    assert qemu_accepts(f"tap,ifname={single.tap},{options}", attachment.netns.name) == ""
    assert qemu_accepts(f"tap,ifname={wide.tap},queues=2,{options}", attachment.netns.name) == ""
    plain = Network(tmp_path / "plain", "n1", NetworkConfig(unprivileged=True))
    ports = (Port(8080), Port(53, "UDP"))
    requests = [NicRequest("default", "masquerade", PodNetwork(), ports=ports), NicRequest("lan", "bridge", LAN)]
    for nic in (await plain.attach("u-1", requests, KEY)).nics:
        assert qemu_accepts(nic.netdev) == ""


@pytest.mark.parametrize("left", ["incomplete", "unreadable", "absent"])
async def test_what_a_killed_agent_left_half_made_is_made_anew(network, tmp_path, left):
    first = await network.attach("u-1", [POD], KEY)
    await network.stop()
    record = tmp_path / "net/attachments/u-1.json"
    if left == "incomplete":
        record.write_text(record.read_text().replace('"complete": true', '"complete": false'))
    elif left == "unreadable":
        record.write_text("{")
    else:
        record.unlink()
    restarted = Network(tmp_path / "net", "n1", CONFIG)
    await restarted.start()
    await restarted.adopt({"u-1"})
    again = await restarted.attach("u-1", [POD], KEY)
    assert again == first
    plug_guest(again, again.nics[0])
    assert (await lease(tmp_path))[0] == "10.0.2.2"
    await restarted.stop()


async def test_a_vm_without_interfaces_gets_a_namespace_of_its_own(network):
    attachment = await network.attach("u-1", [], KEY)
    assert (attachment.nics, attachment.pod_ips) == ((), ())
    assert attachment.netns.exists()


async def test_a_container_gets_the_pod_network_alone(network):
    attachment = await network.attach("p-1", [NicRequest("eth0", "", PodNetwork())], ("default", "pod-a"))
    inside = attachment.netns.name
    assert [link["ifname"] for link in json.loads(sh("ip", "-j", "-n", inside, "link", "show", "up"))] == ["lo", "eth0"]
    assert await ping("10.231.7.1", inside)
    assert await ping(attachment.pod_ips[0])
