"""DHCPv4 (RFC 2131, options RFC 2132): parse and build messages, and decide a server's answer for one known client.

Sans-IO: `engine.node.net.dhcpserver` holds the sockets. A VM's interface has exactly one address, so the server needs
no pool and no state: `answer` is a function of the request and the lease.
`parse` raises DhcpError and nothing else, whatever the bytes.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network

SERVER_PORT = 67
CLIENT_PORT = 68
MAX_MESSAGE = 1500
MIN_MESSAGE = 300
"""BOOTP's size, to which answers are padded: old clients and relays drop shorter ones."""

_HEADER = struct.Struct("!4BIHH4s4s4s4s16s64s128s")
_COOKIE = b"\x63\x82\x53\x63"
_BOOTREQUEST, _BOOTREPLY, _ETHERNET = 1, 2, 1
_BROADCAST_FLAG = 0x8000
_ANY = IPv4Address(0)
_EVERYONE = IPv4Address("255.255.255.255")


class DhcpError(ValueError):
    """Bytes that are no DHCP message; says at which offset and why."""


class MessageType(IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options that the code speaks of by name."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DNS = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    MTU = 26
    BROADCAST = 28
    NTP = 42
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETERS = 55
    MESSAGE = 56
    MAX_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_ID = 61
    TFTP_SERVER = 66
    BOOT_FILE = 67
    RAPID_COMMIT = 80
    DOMAIN_SEARCH = 119
    CLASSLESS_ROUTES = 121
    END = 255


@dataclass(frozen=True, slots=True)
class Message:
    """A DHCP message. `options` holds raw values, split ones joined (RFC 3396), in the order they came."""

    op: int
    xid: int
    chaddr: bytes
    options: Mapping[int, bytes]
    flags: int = 0
    secs: int = 0
    ciaddr: IPv4Address = _ANY
    yiaddr: IPv4Address = _ANY
    siaddr: IPv4Address = _ANY
    giaddr: IPv4Address = _ANY
    htype: int = _ETHERNET
    hops: int = 0

    @property
    def type(self) -> MessageType | None:
        """Option 53; None for plain BOOTP or an unknown type."""
        raw = self.options.get(Option.MESSAGE_TYPE, b"")
        return MessageType(raw[0]) if len(raw) == 1 and raw[0] in _TYPES else None

    def address(self, option: int) -> IPv4Address | None:
        """An option that holds one address; None if absent or of another size."""
        raw = self.options.get(option, b"")
        return IPv4Address(raw) if len(raw) == 4 else None


_TYPES = frozenset(MessageType)


@dataclass(frozen=True, slots=True)
class Lease:
    """All that one client is told. `routes` pairs a destination with its router; `seconds` is the lease's length."""

    mac: bytes
    address: IPv4Address
    network: IPv4Network
    server: IPv4Address
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    search: tuple[str, ...] = ()
    host_name: str = ""
    mtu: int = 0
    seconds: int = 86400
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    tftp_server: str = ""
    boot_file: str = ""
    private: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """A message and where to send it: `address` in IP, `mac` in Ethernet (RFC 2131 section 4.1)."""

    message: Message
    address: IPv4Address
    mac: bytes
    max_size: int


# --- bytes to messages ------------------------------------------------------------------------------------------------


def parse(data: bytes) -> Message:
    """Read one UDP payload. Raises DhcpError: too short, too long, no cookie, options that run past the end."""
    if not _HEADER.size + 4 <= len(data) <= MAX_MESSAGE:
        raise DhcpError(f"{len(data)} bytes: a DHCP message has {_HEADER.size + 4} to {MAX_MESSAGE}")
    op, htype, hlen, hops, xid, secs, flags, ci, yi, si, gi, chaddr, sname, file = _HEADER.unpack_from(data)
    if data[_HEADER.size : _HEADER.size + 4] != _COOKIE:
        raise DhcpError(f"no DHCP cookie at offset {_HEADER.size}")
    if hlen > 16:
        raise DhcpError(f"a hardware address of {hlen} bytes: at most 16")
    options: dict[int, bytes] = {}
    _collect(options, data, _HEADER.size + 4)
    overload = options.get(Option.OVERLOAD, b"\0")[:1]
    if overload in (b"\1", b"\3"):
        _collect(options, file, 0)
    if overload in (b"\2", b"\3"):
        _collect(options, sname, 0)
    addresses = (IPv4Address(ci), IPv4Address(yi), IPv4Address(si), IPv4Address(gi))
    return Message(op, xid, chaddr[:hlen], options, flags, secs, *addresses, htype, hops)


def _collect(options: dict[int, bytes], data: bytes, start: int) -> None:
    for code, value in _walk(data, start):
        options[code] = options.get(code, b"") + value


def _walk(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(data) and (code := data[at]) != Option.END:
        at += 1
        if code == Option.PAD:
            continue
        if at >= len(data) or at + 1 + data[at] > len(data):
            raise DhcpError(f"option {code} at offset {at - 1} runs past the end")
        yield code, data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]


# --- messages to bytes ------------------------------------------------------------------------------------------------


def build(message: Message, max_size: int = MAX_MESSAGE) -> bytes:
    """Write a message; options that no longer fit into `max_size` bytes are left out, the first ones come first."""
    if len(message.chaddr) > 16:
        raise DhcpError(f"a hardware address of {len(message.chaddr)} bytes: at most 16")
    header = _HEADER.pack(
        message.op, message.htype, len(message.chaddr), message.hops, message.xid, message.secs, message.flags,
        message.ciaddr.packed, message.yiaddr.packed, message.siaddr.packed, message.giaddr.packed,
        message.chaddr, b"", b"",
    )  # fmt: skip
    out = bytearray(header + _COOKIE)
    for code, value in message.options.items():
        encoded = _encode(code, value)
        if len(out) + len(encoded) + 1 <= max_size:
            out += encoded
    out.append(Option.END)
    return bytes(out.ljust(MIN_MESSAGE, b"\0"))


def _encode(code: int, value: bytes) -> bytes:
    """One option, split where it is longer than 255 bytes (RFC 3396)."""
    parts = [value[i : i + 255] for i in range(0, len(value), 255)] or [b""]
    return b"".join(bytes((code, len(part))) + part for part in parts)


# --- the server -------------------------------------------------------------------------------------------------------


def answer(request: Message, lease: Lease) -> Reply | None:
    """What the server of `lease` says to `request`; None for silence (another client, another server, a relay)."""
    if request.op != _BOOTREQUEST or request.chaddr != lease.mac or request.giaddr != _ANY:
        return None
    match request.type:
        case MessageType.DISCOVER if Option.RAPID_COMMIT in request.options:  # RFC 4039
            return _grant(request, lease, MessageType.ACK, {Option.RAPID_COMMIT: b""})
        case MessageType.DISCOVER:
            return _grant(request, lease, MessageType.OFFER)
        case MessageType.REQUEST:
            return _answer_request(request, lease)
        case MessageType.INFORM:
            return _inform(request, lease)
    return None


def _answer_request(request: Message, lease: Lease) -> Reply | None:
    """RFC 2131 section 4.3.2: selecting, init-reboot, renewing and rebinding differ in which address is named where."""
    if request.address(Option.SERVER_ID) not in (None, lease.server):
        return None
    wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
    if wanted == lease.address:
        return _grant(request, lease, MessageType.ACK)
    options = _head(MessageType.NAK, lease) | {
        Option.MESSAGE: f"{wanted} is not the address of this interface".encode()
    }
    return Reply(_reply(request, options), _EVERYONE, b"\xff" * 6, _max_size(request))


def _grant(request: Message, lease: Lease, kind: MessageType, more: Mapping[int, bytes] | None = None) -> Reply:
    times = {
        Option.LEASE_TIME: _u32(lease.seconds),
        Option.RENEWAL_TIME: _u32(lease.seconds // 2),
        Option.REBINDING_TIME: _u32(lease.seconds * 7 // 8),
    }
    options = _head(kind, lease) | dict(more or {}) | times | configuration(lease)
    message = _reply(request, options, lease.address, request.ciaddr)
    if request.ciaddr != _ANY:
        return Reply(message, request.ciaddr, request.chaddr, _max_size(request))
    if request.flags & _BROADCAST_FLAG:
        return Reply(message, _EVERYONE, b"\xff" * 6, _max_size(request))
    return Reply(message, lease.address, request.chaddr, _max_size(request))


def _inform(request: Message, lease: Lease) -> Reply:
    """RFC 2131 section 4.3.5: configuration alone, no address and no times."""
    message = _reply(request, _head(MessageType.ACK, lease) | configuration(lease), ciaddr=request.ciaddr)
    known = request.ciaddr != _ANY
    return Reply(
        message, request.ciaddr if known else _EVERYONE, request.chaddr if known else b"\xff" * 6, _max_size(request)
    )


def _head(kind: MessageType, lease: Lease) -> dict[int, bytes]:
    return {Option.MESSAGE_TYPE: bytes((kind,)), Option.SERVER_ID: lease.server.packed}


def _reply(
    request: Message, options: dict[int, bytes], yiaddr: IPv4Address = _ANY, ciaddr: IPv4Address = _ANY
) -> Message:
    if Option.CLIENT_ID in request.options:  # RFC 6842
        options[Option.CLIENT_ID] = request.options[Option.CLIENT_ID]
    return Message(_BOOTREPLY, request.xid, request.chaddr, options, request.flags, ciaddr=ciaddr, yiaddr=yiaddr)


def _max_size(request: Message) -> int:
    """Option 57 counts the IP and UDP headers (28 bytes); no client may ask for less than 576."""
    raw = request.options.get(Option.MAX_SIZE, b"")
    asked = int.from_bytes(raw, "big") if len(raw) == 2 else 576
    return min(max(asked, 576) - 28, MAX_MESSAGE - 28)


def configuration(lease: Lease) -> dict[int, bytes]:
    """The lease as options, the most needed first. Empty ones are left out."""
    options = {
        Option.SUBNET_MASK: lease.network.netmask.packed,
        Option.ROUTER: lease.router.packed if lease.router else b"",
        Option.DNS: _addresses(lease.dns),
        Option.CLASSLESS_ROUTES: _classless_routes(lease),
        Option.MTU: struct.pack("!H", lease.mtu) if lease.mtu else b"",
        Option.HOST_NAME: lease.host_name.encode()[:255],
        Option.DOMAIN_NAME: lease.search[0].encode()[:255] if lease.search else b"",
        Option.DOMAIN_SEARCH: b"".join(_dns_name(name) for name in lease.search),
        Option.BROADCAST: lease.network.broadcast_address.packed,
        Option.NTP: _addresses(lease.ntp),
        Option.TFTP_SERVER: lease.tftp_server.encode()[:255],
        Option.BOOT_FILE: lease.boot_file.encode()[:255],
        **{code: text.encode()[:255] for code, text in lease.private.items()},
    }
    return {int(code): value for code, value in options.items() if value}


def _classless_routes(lease: Lease) -> bytes:
    """RFC 3442. A client that reads this option ignores the router option, so the default route is in it too."""
    if not lease.routes:
        return b""
    default = ((IPv4Network("0.0.0.0/0"), lease.router),) if lease.router else ()
    parts = []
    for network, router in (*lease.routes, *default):
        significant = network.network_address.packed[: (network.prefixlen + 7) // 8]
        parts.append(bytes((network.prefixlen,)) + significant + router.packed)
    return b"".join(parts)


def _dns_name(name: str) -> bytes:
    """A name in DNS wire form, uncompressed (RFC 3397); labels are cut at 63 bytes."""
    labels = [label.encode()[:63] for label in name.strip(".").split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _addresses(addresses: tuple[IPv4Address, ...]) -> bytes:
    return b"".join(address.packed for address in addresses)


def _u32(value: int) -> bytes:
    return struct.pack("!I", min(value, 0xFFFFFFFF))
