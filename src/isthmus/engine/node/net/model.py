"""What is asked of the node's networks and what they answer: values only, shared by all modules of this package.

Built by the agent from a VMI's `spec.domain.devices.interfaces` and `spec.networks`; read by every module here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

POD_NETWORK = "pod"


class NetworkError(Exception):
    """A network cannot be made as asked. `reason` is a CamelCase word for a condition, `str()` is fit for a person."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Port:
    """A declared port of an interface (`interfaces[].ports[]`). `protocol` is TCP, UDP or SCTP."""

    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class DhcpOptions:
    """KubeVirt's `interfaces[].dhcpOptions`; `private` maps an option number (224 to 254) to its text."""

    boot_file_name: str = ""
    tftp_server_name: str = ""
    ntp_servers: tuple[str, ...] = ()
    private: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """`networks[].pod`. `vm_network_cidr` is the guest's side of a masquerade (10.0.2.0/24 when empty)."""

    vm_network_cidr: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A route that a guest is told of; without `via` it goes through the network's gateway."""

    to: IPv4Network
    via: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Ipam:
    """Addresses of a network, as a CNI IPAM plugin would give them. `fixed` are those of the `static` plugin."""

    subnet: IPv4Network | None = None
    first: IPv4Address | None = None
    last: IPv4Address | None = None
    gateway: IPv4Address | None = None
    fixed: tuple[IPv4Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BridgeNetwork:
    """A NetworkAttachmentDefinition of CNI type bridge, read by `cni.parse`. `name` is `namespace/name`.

    `notes` say what of the configuration has no effect here.
    """

    name: str
    bridge: str
    vlan: int = 0
    mtu: int = 0
    is_gateway: bool = False
    is_default_gateway: bool = False
    ip_masq: bool = False
    mac_spoof_check: bool = False
    hairpin: bool = False
    ipam: Ipam | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NicRequest:
    """One interface of a VM. An empty `mac` lets the node derive one that stays the same over restarts.

    `binding` is masquerade or bridge (or empty: the pod network's link alone, for a container). No `ports` means all.
    `address` asks for that address of the network; `host_name` is what DHCP tells the guest (the VM's name if empty).
    """

    name: str
    binding: str
    network: PodNetwork | BridgeNetwork
    mac: str = ""
    ports: tuple[Port, ...] = ()
    dhcp: DhcpOptions = DhcpOptions()
    model: str = "virtio"
    queues: int = 1
    address: str = ""
    host_name: str = ""


@dataclass(frozen=True, slots=True)
class Nic:
    """One interface as it was made.

    `tap` is the tap device inside the attachment's namespace that QEMU opens (empty without root; then `netdev` is a
    complete value of QEMU's `-netdev` but for `id=`, e.g. `user,net=10.0.2.0/24,...`). `addresses` are the guest's own
    (what our DHCP hands out), `pod_ip` the one by which others reach it. `forwards` (user networking only) say at which
    host address and port a guest's port is reached. `notes` are for people: what could not be done as asked.
    """

    name: str
    tap: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()
    pod_ip: str = ""
    netdev: str = ""
    interface: str = ""
    forwards: tuple["Forward", ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """User networking: the guest's `port` is reached at `host`:`host_port`."""

    protocol: str
    port: int
    host: str
    host_port: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VM's networks. QEMU runs inside `netns` (None: in the agent's own network namespace)."""

    netns: Path | None
    nics: tuple[Nic, ...]
    pod_ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The settings of one node's networks.

    `bridge` of the pod network: where another node of this machine has it, the number at its end is counted up.
    `subnet` of the pod network: when not given, the first of 10.42.0.0/24, 10.43.0.0/24 ... that no host route covers.
    `mtu` 0 follows the default route's link. `dns` and `search` override the host's resolver. `prefix` begins every
    name that we make (links, namespaces; at most 6 characters), `table` names our nft tables. `salt` makes MACs differ
    between homes whose VMs have the same names. `unprivileged` asks for QEMU's user networking even when we are root.
    """

    bridge: str = "isthmus0"
    subnet: IPv4Network | None = None
    mtu: int = 0
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    prefix: str = "ist"
    table: str = "isthmus"
    salt: str = ""
    lease_seconds: int = 86400
    unprivileged: bool = False
