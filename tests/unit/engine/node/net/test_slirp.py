"""Networks without root: QEMU's options, what is told to people, and the whole of Network without any rights."""

from dataclasses import replace
from ipaddress import IPv4Address

from isthmus.engine.node.net import cni, slirp
from isthmus.engine.node.net.model import DhcpOptions, NetworkConfig, NicRequest, PodNetwork, Port
from isthmus.engine.node.net.network import Network

POD = NicRequest("default", "masquerade", PodNetwork(), ports=(Port(80), Port(10080), Port(53, "UDP")))
ADDRESS = IPv4Address("127.42.0.7")


def plan(request=POD, low_port=1024):
    return slirp.nic(request, "02:00:00:00:00:01", ADDRESS, "web", low_port)


def test_declared_ports_keep_their_numbers_on_an_address_of_the_vm():
    nic = plan(low_port=1)
    assert nic.netdev == (
        "user,net=10.0.2.0/24,host=10.0.2.1,dhcpstart=10.0.2.2,dns=10.0.2.3,hostname=web,ipv6=off,"
        "hostfwd=udp:127.42.0.7:53-10.0.2.2:53,hostfwd=tcp:127.42.0.7:80-10.0.2.2:80,"
        "hostfwd=tcp:127.42.0.7:10080-10.0.2.2:10080"
    )
    assert (nic.pod_ip, nic.addresses, nic.tap) == ("127.42.0.7", ("10.0.2.2",), "")


def test_low_ports_move_up_without_taking_another_ports_place():
    forwards = {(f.protocol, f.port): f.host_port for f in plan().forwards}
    assert forwards == {("TCP", 10080): 10080, ("UDP", 53): 10053, ("TCP", 80): 10081}
    assert "port 80 is reached at 127.42.0.7:10081: without root low ports cannot be bound" in plan().notes


def test_a_boot_server_cannot_add_options_of_its_own():
    nic = plan(replace(POD, dhcp=DhcpOptions("a,smb=/", "b")))
    assert nic.netdev.endswith("tftp-server-name=b,bootfile=a,,smb=/")


def test_vms_of_one_bridge_and_vlan_share_a_segment_and_others_do_not():
    def segment(text):
        return plan(NicRequest("lan", "bridge", cni.parse(text, "default/x"))).netdev

    a = segment('{"type": "bridge", "bridge": "br50"}')
    assert a == segment('{"type": "bridge", "bridge": "br50", "mtu": 1400}')
    assert a != segment('{"type": "bridge", "bridge": "br50", "vlan": 5}')
    assert a.startswith("socket,mcast=239.192.")


async def test_a_network_without_rights_plans_and_remembers(tmp_path):
    network = Network(tmp_path, "n1", NetworkConfig(unprivileged=True))
    await network.start()
    first = await network.attach("u-1", [POD], ("default", "web"))
    assert (first.netns, first.nics[0].netdev.split(",")[0]) == (None, "user")
    await network.adopt({"u-1"})
    await network.detach("u-1")
    again = await Network(tmp_path, "n1", NetworkConfig(unprivileged=True)).attach("u-2", [POD], ("default", "web"))
    assert again.pod_ips == first.pod_ips
