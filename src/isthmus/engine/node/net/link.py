"""Decide what one interface of a VM becomes: names, MAC, addresses, and what DHCP tells the guest. Pure.

Between a request (`model.NicRequest`) and the commands (`plan`). All later steps read a `Link` and decide nothing more.
"""

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from isthmus.codec import dhcp
from isthmus.engine.node.net import ipam, names
from isthmus.engine.node.net.model import BridgeNetwork, Ipam, NetworkConfig, NetworkError, Nic, NicRequest, PodNetwork
from isthmus.engine.node.net.resolver import Resolver

VM_NETWORK = "10.0.2.0/24"
BRIDGE_SERVER = IPv4Interface("169.254.75.10/32")
"""KubeVirt's address of the DHCP server of a bridge binding; it lives inside the VM's namespace only."""

POD_POOL = "pod"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_ANYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node has chosen and found, as far as interfaces depend on it."""

    config: NetworkConfig
    subnet: IPv4Network
    mtu: int
    resolver: Resolver
    vlan_filtering: bool = False

    @property
    def gateway(self) -> IPv4Interface:
        """The node's own address on the pod network."""
        return IPv4Interface((self.subnet.network_address + 1, self.subnet.prefixlen))


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose interface it is. `scope` tells this node of this home from others on the machine."""

    scope: str
    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Link:
    """One interface, decided.

    `host` is the veth's end in the node's namespace, on `bridge` there. Inside: `inner` is the address of the veth's
    other end (masquerade), `server` that of the k6t bridge, `guest` the VM's, told by DHCP if there is a `lease`.
    """

    request: NicRequest
    names: names.InnerNames
    host: str
    bridge: str
    mac: str
    link_mac: str
    mtu: int
    inner: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    server: IPv4Interface | None = None
    guest: IPv4Interface | None = None
    lease: dhcp.Lease | None = None
    notes: tuple[str, ...] = ()

    @property
    def on_pod_network(self) -> bool:
        """Whether its address is the pod's."""
        return isinstance(self.request.network, PodNetwork)

    @property
    def nic(self) -> Nic:
        """What the agent is told of it."""
        pod_address = self.inner or self.guest if self.on_pod_network else None
        return Nic(
            name=self.request.name,
            tap=self.names.tap if self.request.binding else "",
            mac=self.mac,
            mtu=self.mtu,
            addresses=(str(self.guest.ip),) if self.guest else (),
            pod_ip=str(pod_address.ip) if pod_address else "",
            interface=self.names.interface,
            notes=self.notes,
        )


def check(requests: list[NicRequest]) -> None:
    """Raise NetworkError for what no node of ours can do, before anything is made."""
    if len({request.name for request in requests}) != len(requests):
        raise NetworkError("InvalidNetwork", "two interfaces have the same name")
    if sum(isinstance(request.network, PodNetwork) for request in requests) > 1:
        raise NetworkError("InvalidNetwork", "more than one interface is on the pod network")
    for request in requests:
        if not _NAME.fullmatch(request.name):
            raise NetworkError("InvalidNetwork", f"interface {request.name!r}: a name has letters, digits, '-' and '_'")
        if request.mac and not names.is_unicast_mac(request.mac):
            raise NetworkError("InvalidNetwork", f"interface {request.name}: {request.mac!r} is no unicast MAC address")
        allowed = ("masquerade", "bridge", "") if isinstance(request.network, PodNetwork) else ("bridge",)
        if request.binding not in allowed:
            kind = "the pod network" if isinstance(request.network, PodNetwork) else "another network"
            usable = " or ".join(filter(None, allowed))
            message = f"interface {request.name}: binding {request.binding!r} on {kind} is not available; use {usable}"
            raise NetworkError("UnsupportedBinding", message)


def pool_of(request: NicRequest, facts: Facts) -> ipam.Pool | None:
    """Where its address comes from; None if the node gives it none."""
    if isinstance(request.network, PodNetwork):
        return ipam.Pool(POD_POOL, facts.subnet, frozenset({facts.gateway.ip}))
    settings = request.network.ipam
    if settings is None or settings.subnet is None:
        return None
    gateway = gateway_of(request.network)
    reserved = frozenset({gateway.ip} if gateway else ())
    return ipam.Pool(request.network.name, settings.subnet, reserved, settings.first, settings.last)


def wanted_address(request: NicRequest) -> str:
    """The address that it must have, or "" for any."""
    if isinstance(request.network, BridgeNetwork) and request.network.ipam and request.network.ipam.fixed:
        return request.address or str(request.network.ipam.fixed[0].ip)
    return request.address


def gateway_of(network: BridgeNetwork) -> IPv4Interface | None:
    """The gateway of a bridge network's subnet, which is ours to hold if `is_gateway`."""
    settings = network.ipam
    if settings is None or settings.subnet is None:
        return None
    if settings.gateway is None and not network.is_gateway:
        return None
    return IPv4Interface((settings.gateway or settings.subnet.network_address + 1, settings.subnet.prefixlen))


def node_bridge(network: PodNetwork | BridgeNetwork, facts: Facts) -> str:
    """The bridge in the node's namespace; without VLAN filtering each VLAN is a bridge of its own."""
    if isinstance(network, PodNetwork):
        return facts.config.bridge
    if not network.vlan or facts.vlan_filtering:
        return network.bridge
    return vlan_name(network, facts)


def vlan_name(network: BridgeNetwork, facts: Facts) -> str:
    """The link that stands for one VLAN of a bridge in the node: `br50.100`, or a derived name if that is too long."""
    name = f"{network.bridge}.{network.vlan}"
    fits = len(name) <= names.MAX_LINK_NAME
    return name if fits else names.host_link(facts.config.prefix, "vlan", network.bridge, str(network.vlan))


def decide(request: NicRequest, owner: Owner, facts: Facts, address: IPv4Address | None) -> Link:
    """The link for `request`, with `address` taken from its pool."""
    mac = request.mac.lower().replace("-", ":") or names.mac(
        facts.config.salt, owner.namespace, owner.name, request.name
    )
    mtu = facts.mtu if isinstance(request.network, PodNetwork) else request.network.mtu or 1500
    link = Link(
        request=request,
        names=names.inner_names(request.name, isinstance(request.network, PodNetwork)),
        host=names.host_link(facts.config.prefix, owner.scope, owner.uid, request.name),
        bridge=node_bridge(request.network, facts),
        mac=mac,
        link_mac=names.mac("link", owner.scope, owner.uid, request.name),
        mtu=mtu,
    )
    if isinstance(request.network, PodNetwork):
        assert address is not None
        return _on_pod_network(link, owner, facts, IPv4Interface((address, facts.subnet.prefixlen)), request.network)
    return _on_bridge(link, owner, facts, address, request.network)


def _on_pod_network(link: Link, owner: Owner, facts: Facts, address: IPv4Interface, network: PodNetwork) -> Link:
    gateway = facts.gateway.ip
    if link.request.binding == "":
        return replace(link, inner=address, gateway=gateway)
    notes = (facts.resolver.note,) if facts.resolver.note else ()
    if link.request.binding == "bridge":
        lease = _lease(link, owner, facts, address, BRIDGE_SERVER.ip, gateway)
        return replace(link, server=BRIDGE_SERVER, guest=address, lease=lease, notes=notes)
    server, guest = vm_network(network, link.request.name)
    lease = _lease(link, owner, facts, guest, server.ip, server.ip)
    return replace(link, inner=address, gateway=gateway, server=server, guest=guest, lease=lease, notes=notes)


def vm_network(network: PodNetwork, nic: str) -> tuple[IPv4Interface, IPv4Interface]:
    """The gateway's and the guest's address inside a masquerade: first and second of the VM network."""
    text = network.vm_network_cidr or VM_NETWORK
    try:
        subnet = IPv4Network(text, strict=False)
    except ValueError:
        raise NetworkError("InvalidNetwork", f"interface {nic}: vmNetworkCIDR {text!r} is no IPv4 network") from None
    if subnet.prefixlen > 30:
        raise NetworkError("InvalidNetwork", f"interface {nic}: vmNetworkCIDR {text} has no room for two addresses")
    base = subnet.network_address
    return IPv4Interface((base + 1, subnet.prefixlen)), IPv4Interface((base + 2, subnet.prefixlen))


def _on_bridge(link: Link, owner: Owner, facts: Facts, address: IPv4Address | None, network: BridgeNetwork) -> Link:
    notes = list(network.notes)
    if network.vlan and not facts.vlan_filtering:
        notes.append(
            f"this kernel cannot filter VLANs: VLAN {network.vlan} of {network.bridge} is the bridge {link.bridge} of "
            "its own, and is not carried on an uplink"
        )
    if address is None or network.ipam is None or network.ipam.subnet is None:
        return replace(link, notes=tuple(notes))
    guest = IPv4Interface((address, network.ipam.subnet.prefixlen))
    router, routes = _routes(network, network.ipam)
    lease = _lease(link, owner, facts, guest, BRIDGE_SERVER.ip, router, routes, network.ipam)
    return replace(link, server=BRIDGE_SERVER, guest=guest, lease=lease, notes=tuple(notes))


def _routes(
    network: BridgeNetwork, settings: Ipam
) -> tuple[IPv4Address | None, tuple[tuple[IPv4Network, IPv4Address], ...]]:
    """The default router, given only if the network says so (as CNI does), and the other routes."""
    gateway = gateway_of(network)
    through = gateway.ip if gateway else None
    known = [(route.to, route.via or through) for route in settings.routes]
    defaults = [via for to, via in known if to == _ANYWHERE]
    router = through if network.is_default_gateway else next(iter(defaults), None)
    return router, tuple((to, via) for to, via in known if to != _ANYWHERE and via is not None)


def _lease(
    link: Link,
    owner: Owner,
    facts: Facts,
    guest: IPv4Interface,
    server: IPv4Address,
    router: IPv4Address | None,
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = (),
    settings: Ipam | None = None,
) -> dhcp.Lease:
    options = link.request.dhcp
    if wrong := [number for number in options.private if not 224 <= number <= 254]:
        message = f"interface {link.request.name}: private DHCP options have numbers 224 to 254, not {wrong[0]}"
        raise NetworkError("InvalidNetwork", message)
    own_dns = _ipv4(settings.dns) if settings else ()
    return dhcp.Lease(
        mac=bytes.fromhex(link.mac.replace(":", "")),
        address=guest.ip,
        network=guest.network,
        server=server,
        router=router,
        dns=own_dns or facts.resolver.servers,
        search=(settings.search if settings else ()) or facts.resolver.search,
        host_name=(link.request.host_name or owner.name).split(".", 1)[0][:63],
        mtu=link.mtu,
        seconds=facts.config.lease_seconds,
        routes=routes,
        ntp=_ipv4(options.ntp_servers),
        tftp_server=options.tftp_server_name,
        boot_file=options.boot_file_name,
        private=dict(options.private),
    )


def _ipv4(texts: tuple[str, ...]) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses among `texts`; names cannot be told by DHCP."""
    found = []
    for text in texts:
        try:
            found.append(IPv4Address(text))
        except ValueError:
            continue
    return tuple(found)
