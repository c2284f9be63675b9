"""Networks without root: QEMU's own user networking for the pod network, multicast on loopback for bridges. Pure.

Every VM has an address of its own in 127.42.0.0/16 (all of 127/8 is the host's), so that a port of the guest keeps its
number: guest port 8080 is 127.42.0.7:8080. Ports below the kernel's `ip_unprivileged_port_start` move up by 10000.
What cannot be had is said in `notes`. User networking takes the guest's address and DHCP on itself.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from isthmus.engine.node.net import ipam, names
from isthmus.engine.node.net.link import vm_network
from isthmus.engine.node.net.model import BridgeNetwork, Forward, NetworkError, Nic, NicRequest, PodNetwork, Port

POOL = ipam.Pool("pod", IPv4Network("127.42.0.0/16"), frozenset({IPv4Address("127.42.0.1")}))
REMAP = 10000
_DEFAULT_PORTS = (Port(22),)
_MULTICAST_PORTS = range(20000, 30000)
_NO_ROOT = "the node runs without root: QEMU's user networking"


def nic(request: NicRequest, mac: str, address: IPv4Address | None, host_name: str, low_port: int) -> Nic:
    """The interface that `request` becomes; `address` is the VM's on the loopback (pod network only)."""
    if isinstance(request.network, BridgeNetwork):
        return _shared_segment(request, request.network, mac)
    assert address is not None
    return _user(request, request.network, mac, address, host_name, low_port)


def _user(
    request: NicRequest, network: PodNetwork, mac: str, address: IPv4Address, host_name: str, low_port: int
) -> Nic:
    server, guest = vm_network(network, request.name)
    if server.network.prefixlen > 29:
        raise NetworkError("InvalidNetwork", f"{_NO_ROOT} needs a vmNetworkCIDR of /29 or wider for its DNS server")
    forwards = _forwards(request.ports or _DEFAULT_PORTS, str(address), low_port)
    options = [
        "user",
        f"net={server.network}",
        f"host={server.ip}",
        f"dhcpstart={guest.ip}",
        f"dns={server.network.network_address + 3}",
        f"hostname={host_name}",
        "ipv6=off",
        *(f"hostfwd={hostfwd(forward, str(guest.ip))}" for forward in forwards),
    ]
    if request.dhcp.tftp_server_name:
        options.append(f"tftp-server-name={_escape(request.dhcp.tftp_server_name)}")
    if request.dhcp.boot_file_name:
        options.append(f"bootfile={_escape(request.dhcp.boot_file_name)}")
    return Nic(
        name=request.name,
        tap="",
        mac=mac,
        mtu=1500,
        addresses=(str(guest.ip),),
        pod_ip=str(address),
        netdev=",".join(options),
        forwards=tuple(forwards),
        notes=tuple(_notes(request, forwards)),
    )


def hostfwd(forward: Forward, guest: str) -> str:
    """A forward as QEMU writes it, in `-netdev user,hostfwd=` and in the monitor's `hostfwd_add` alike."""
    return f"{forward.protocol.lower()}:{forward.host}:{forward.host_port}-{guest}:{forward.port}"


def forward_for(port: int, protocol: str, existing: Sequence[Forward], host: str, low_port: int) -> Forward:
    """Where a port that was not declared would be reached; to be added while the VM runs (`hostfwd_add`)."""
    known = next((f for f in existing if (f.port, f.protocol) == (port, protocol)), None)
    if known:
        return known
    taken = {f.host_port for f in existing if f.protocol == protocol}
    candidate = port if port >= low_port else port + REMAP
    while candidate in taken:
        candidate += 1
    return Forward(protocol, port, host, candidate)


def _forwards(ports: Sequence[Port], host: str, low_port: int) -> list[Forward]:
    """High ports first: they keep their numbers even if a low one would move onto them."""
    forwards: list[Forward] = []
    for port in sorted(set(ports), key=lambda p: (p.port < low_port, p.port, p.protocol)):
        if port.protocol in ("TCP", "UDP"):
            forwards.append(forward_for(port.port, port.protocol, forwards, host, low_port))
    return forwards


def _notes(request: NicRequest, forwards: Sequence[Forward]) -> list[str]:
    notes = [f"{_NO_ROOT} (slower, no ping)"]
    if not request.ports:
        notes.append("no ports are declared: only port 22 is forwarded, others when they are asked for")
    moved = [f for f in forwards if f.port != f.host_port]
    notes += [
        f"port {f.port} is reached at {f.host}:{f.host_port}: without root low ports cannot be bound" for f in moved
    ]
    if any(port.protocol not in ("TCP", "UDP") for port in request.ports):
        notes.append("ports other than TCP and UDP are not forwarded")
    if request.binding == "bridge":
        notes.append("bridge binding: the guest has its own address behind NAT, not the pod's")
    return notes


def _shared_segment(request: NicRequest, network: BridgeNetwork, mac: str) -> Nic:
    """VMs of one bridge and VLAN share a multicast group on loopback: they see each other, nothing else sees them."""
    key = names.digest("segment", network.bridge, str(network.vlan))
    group = IPv4Address("239.192.0.0") + int(key[:4], 16)
    port = _MULTICAST_PORTS[int(key[4:10], 16) % len(_MULTICAST_PORTS)]
    notes = [f"{_NO_ROOT}: {network.bridge} joins this node's VMs only, the host and its links are not on it"]
    if network.ipam:
        notes.append("the network's addresses are not handed out")
    netdev = f"socket,mcast={group}:{port},localaddr=127.0.0.1"
    return Nic(request.name, "", mac, network.mtu or 1500, netdev=netdev, notes=(*network.notes, *notes))


def _escape(value: str) -> str:
    """A comma in a QEMU option value is doubled."""
    return value.replace(",", ",,")
