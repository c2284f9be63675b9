"""Decided links to commands: the text that `ip -batch`, `bridge -batch` and `nft -f` are fed. Pure, golden-tested.

Inside a VM's namespace (as KubeVirt lays it out in a launcher Pod):

    masquerade   bridge in the node --veth-- eth0 (pod IP) ~ NAT ~ k6t-eth0 (10.0.2.1) -- tap0 -- guest (10.0.2.2)
    bridge       bridge in the node --veth-- eth0 | pod<hash> -- k6t-<...> -- tap -- guest (the network's address)

A veth reaches the node even where a tap could: QEMU and its tap then never leave the namespace, and a running VM moves
to another network when the node's end of the veth is enslaved elsewhere.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from isthmus.engine.node.net.link import Facts, Link, gateway_of, node_bridge, vlan_name
from isthmus.engine.node.net.model import BridgeNetwork, Port

K6T_MAC = "02:00:00:00:00:00"
"""KubeVirt's MAC of the k6t bridges: the same everywhere, so that a migrated guest's ARP entry stays right."""

_BRIDGE = "type bridge forward_delay 0 stp_state 0 mcast_snooping 0"


@dataclass(frozen=True, slots=True)
class Step:
    """Lines for one tool: ip, bridge, nft, or sysctl (`net/ipv4/ip_forward=1`). `netns` empty: the node's own."""

    tool: str
    lines: tuple[str, ...]
    netns: str = ""


def render(steps: Iterable[Step]) -> str:
    """Steps as text, for golden files and logs."""
    return "\n".join(f"# {step.tool} {step.netns}".rstrip() + "\n" + "\n".join(step.lines) for step in steps) + "\n"


# --- the node ---------------------------------------------------------------------------------------------------------


def bridge(name: str, mac: str, mtu: int, exists: bool, address: IPv4Interface | None) -> list[str]:
    """`ip` lines for a bridge of the node. One that exists keeps its settings; only our address is added."""
    made = [] if exists else [f"link add {name} address {mac} mtu {mtu} {_BRIDGE}", f"link set {name} addrgenmode none"]
    return [*made, f"link set {name} up", *([f"addr replace {address} dev {name}"] if address else [])]


def node_table(table: str, masqueraded: Sequence[tuple[IPv4Network, str]]) -> tuple[str, ...]:
    """`nft` lines for the node's own table: what leaves a subnet's bridge goes under the node's address."""
    rules = [f'\t\tip saddr {subnet} oifname != "{bridge}" masquerade' for subnet, bridge in masqueraded]
    return (*_fresh(f"ip {table}"), *_chain("postrouting", "nat", "postrouting", 100, rules), "}")


def bridge_of(network: BridgeNetwork, mac: str, present: Callable[[str], bool], facts: Facts) -> list[Step]:
    """The node's bridge for a NAD, made on demand, with its gateway address if it is to be the gateway.

    `present` says whether the node has a link of that name.
    """
    name = node_bridge(network, facts)
    gateway = gateway_of(network) if network.is_gateway else None
    tagged = network.vlan if facts.vlan_filtering else 0
    lines = bridge(name, mac, network.mtu or 1500, present(name), None if tagged else gateway)
    if not tagged:
        return [Step("ip", tuple(lines))]
    steps = [Step("ip", (*lines, f"link set {name} type bridge vlan_filtering 1"))]
    if gateway:
        steps.append(Step("bridge", (f"vlan add dev {name} vid {tagged} self",)))
        top = vlan_name(network, facts)
        made = [] if present(top) else [f"link add link {name} name {top} type vlan id {tagged}"]
        steps.append(Step("ip", (*made, f"addr replace {gateway} dev {top}", f"link set {top} up")))
    return steps


# --- a VM -------------------------------------------------------------------------------------------------------------


def attach(netns: str, links: Sequence[Link], facts: Facts, label: str, *, new: bool) -> list[Step]:
    """Make `links` in `netns`, made too if `new`. `label` (namespace/VM) is for a person who reads `ip link`."""
    outer = [f"netns add {netns}"] if new else []
    for link in links:
        outer += _outer(netns, link, label)
    inner = ["link set lo up"] if new else []
    for link in links:
        inner += _inner(link)
    steps = [Step("ip", tuple(outer)), *_port_vlans(links, facts)]
    if new:
        steps.append(Step("sysctl", SYSCTLS, netns))
    return [*steps, Step("ip", tuple(inner), netns)]


SYSCTLS = (
    "net/ipv4/ip_forward=1",
    "net/ipv4/conf/all/rp_filter=0",
    "net/ipv4/conf/default/rp_filter=0",
    "net/ipv4/conf/all/route_localnet=1",
)


def _outer(netns: str, link: Link, label: str) -> list[str]:
    peer = f"peer name {link.names.interface} address {link.link_mac} mtu {link.mtu} netns {netns}"
    return [
        f"link add {link.host} mtu {link.mtu} type veth {peer}",
        f'link set {link.host} alias "isthmus {label} {link.request.name}"',
        *enslave(link),
    ]


def enslave(link: Link) -> list[str]:
    """Put the node's end of the veth on its bridge."""
    hairpin = isinstance(link.request.network, BridgeNetwork) and link.request.network.hairpin
    lines = [f"link set {link.host} master {link.bridge} addrgenmode none up"]
    return [*lines, f"link set {link.host} type bridge_slave hairpin on"] if hairpin else lines


def move(link: Link, facts: Facts) -> list[Step]:
    """A running VM's interface goes to the bridge (and VLAN) that `link` names now."""
    return [Step("ip", tuple(enslave(link))), *_port_vlans([link], facts)]


def _port_vlans(links: Sequence[Link], facts: Facts) -> list[Step]:
    lines: list[str] = []
    for link in links:
        network = link.request.network
        if facts.vlan_filtering and isinstance(network, BridgeNetwork) and network.vlan:
            lines.append(f"vlan del dev {link.host} vid 1")
            lines.append(f"vlan add dev {link.host} vid {network.vlan} pvid untagged")
    return [Step("bridge", tuple(lines))] if lines else []


def _inner(link: Link) -> list[str]:
    names = link.names
    lines = [f"link set {names.interface} addrgenmode none up"]
    if link.inner:
        lines.append(f"addr add {link.inner} dev {names.interface}")
        lines.append(f"route add default via {link.gateway}")
    if not link.request.binding:
        return lines
    queues = " multi_queue" if link.request.queues > 1 else ""
    lines += [
        f"link add {names.bridge} address {K6T_MAC} mtu {link.mtu} {_BRIDGE}",
        f"link set {names.bridge} addrgenmode none up",
        f"tuntap add dev {names.tap} mode tap{queues}",
        f"link set {names.tap} mtu {link.mtu} master {names.bridge} addrgenmode none up",
    ]
    if not link.inner:
        lines.append(f"link set {names.interface} master {names.bridge}")
    return [*lines, f"addr add {link.server} dev {names.bridge}"] if link.server else lines


def detach(netns: str, hosts: Sequence[str]) -> Step:
    """Links first: a namespace is torn down later by the kernel, and its veths' other ends with it."""
    return Step("ip", (*(f"link del {host}" for host in hosts), f"netns del {netns}"))


def unplug(netns: str, link: Link) -> list[Step]:
    """Remove one interface of a VM whose other ones stay."""
    inner = (f"link del {link.names.tap}", f"link del {link.names.bridge}") if link.request.binding else ()
    return [Step("ip", (f"link del {link.host}",)), *([Step("ip", inner, netns)] if inner else [])]


# --- rules inside a VM's namespace ------------------------------------------------------------------------------------


def rules(netns: str, table: str, links: Sequence[Link]) -> Step:
    """All rules of a VM's namespace, replacing the former ones in one transaction."""
    return Step("nft", (*_nat(table, links), *_filter(table, links)), netns)


def _nat(table: str, links: Sequence[Link]) -> list[str]:
    into, local, out, through = [], [], [], []
    for link in links:
        if link.inner is None or link.guest is None or link.server is None:
            continue
        guest = link.guest.ip
        for ports in _port_matches(link.request.ports):
            into.append(f'\t\tiifname "{link.names.interface}" {ports}dnat to {guest}')
            local.append(f"\t\tip daddr {{ 127.0.0.1, {link.inner.ip} }} {ports}dnat to {guest}")
        through.append(f'\t\tiifname "{link.names.interface}" ct status dnat accept')
        through.append(f'\t\tiifname "{link.names.interface}" ct state established,related accept')
        through.append(f'\t\tiifname "{link.names.interface}" drop')
        out.append(f'\t\tip saddr {guest} oifname "{link.names.interface}" masquerade')
        out.append(
            f'\t\tip saddr {{ 127.0.0.1, {link.inner.ip} }} oifname "{link.names.bridge}" snat to {link.server.ip}'
        )
    return [
        *_fresh(f"ip {table}"),
        *_chain("prerouting", "nat", "prerouting", -100, into),
        *_chain("output", "nat", "output", -100, local),
        *_chain("postrouting", "nat", "postrouting", 100, out),
        *_chain("forward", "filter", "forward", 0, through),
        "}",
    ]


def _port_matches(ports: Sequence[Port]) -> list[str]:
    """One match a protocol; without ports everything goes to the guest, ping too."""
    if not ports:
        return [""]
    numbers: dict[str, set[int]] = {}
    for port in ports:
        numbers.setdefault(port.protocol.lower(), set()).add(port.port)
    return [f"{protocol} dport {{ {', '.join(map(str, sorted(of)))} }} " for protocol, of in sorted(numbers.items())]


def _filter(table: str, links: Sequence[Link]) -> list[str]:
    """Bridged interfaces: the namespace's own stack speaks to the guest's DHCP client alone and to nobody else.

    Without this it would answer ARP, and route, between the networks that the VM is on.
    """
    redirect, spoof, into, out = [], [], [], []
    for link in links:
        if link.inner is not None or not link.request.binding:
            continue
        tap, interface, network = link.names.tap, link.names.interface, link.request.network
        if isinstance(network, BridgeNetwork) and network.mac_spoof_check:
            spoof.append(f'\t\tiifname "{tap}" ether saddr != {link.mac} drop')
        if link.lease:  # unicast renewals too, which are sent to the router's MAC
            redirect.append(f'\t\tiifname "{tap}" udp dport 67 ether daddr set {K6T_MAC} meta pkttype set host')
            into.append(f'\t\tiifname "{tap}" udp dport 67 accept')
        into.append(f'\t\tiifname {{ "{tap}", "{interface}" }} drop')
        out.append(f'\t\toifname "{interface}" drop')
    return [
        *_fresh(f"bridge {table}"),
        *_chain("prerouting", "filter", "prerouting", -300, [*spoof, *redirect]),
        *_chain("input", "filter", "input", 0, into),
        *_chain("output", "filter", "output", 0, out),
        "}",
    ]


def _fresh(table: str) -> list[str]:
    return [f"table {table} {{ }}", f"delete table {table}", f"table {table} {{"]


def _chain(name: str, kind: str, hook: str, priority: int, rules: Sequence[str]) -> list[str]:
    return [f"\tchain {name} {{", f"\t\ttype {kind} hook {hook} priority {priority};", *rules, "\t}"]
