"""The DHCP server of one interface of a VM: two sockets inside the VM's namespace, the answer from `codec.dhcp`.

Requests come by a UDP socket on port 67 of the k6t bridge (so the kernel checks them, and answers nothing to unicast
renewals itself). Replies leave by a packet socket as whole frames: a client without an address answers no ARP, and a
frame that we build has a real UDP checksum, which old clients insist on and a tap's offloading would leave out.
"""

import asyncio
import logging
import socket
import struct

from isthmus.codec import dhcp
from isthmus.engine.node.net import netns

log = logging.getLogger(__name__)

_ETH_P_IP = 0x0800
_BURST = 32
"""Requests answered before the loop gets its turn: a guest that floods must not keep the agent busy."""


class DhcpServer:
    """Serves `lease` on the bridge `interface` of the namespace `name` from `start` until `close`."""

    def __init__(self, name: str, interface: str, lease: dhcp.Lease) -> None:
        self.lease = lease
        self._netns = name
        self._interface = interface
        self._requests: socket.socket | None = None
        self._frames: socket.socket | None = None

    async def start(self) -> None:
        """Open the sockets. Raises OSError."""
        requests, self._frames = await netns.run_inside(self._netns, self._open)
        self._requests = requests
        asyncio.get_running_loop().add_reader(requests, self._on_readable)

    def close(self) -> None:
        """Stop answering; twice is once. The namespace can be torn down only then."""
        if self._requests is not None:
            asyncio.get_running_loop().remove_reader(self._requests)
        for opened in (self._requests, self._frames):
            if opened is not None:
                opened.close()
        self._requests = self._frames = None

    def _open(self) -> tuple[socket.socket, socket.socket]:
        requests = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            requests.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            requests.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            requests.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode() + b"\0")
            requests.bind(("", dhcp.SERVER_PORT))
            frames = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0
            )  # 0: it receives nothing
            frames.bind((self._interface, 0))
        except BaseException:
            requests.close()
            raise
        return requests, frames

    def _on_readable(self) -> None:
        for _ in range(_BURST):
            if self._requests is None:
                return
            try:
                data = self._requests.recv(dhcp.MAX_MESSAGE + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # the bridge is going away under us
                log.debug("dhcp on %s: %s", self._interface, error)
                return
            self._answer(data)

    def _answer(self, data: bytes) -> None:
        try:
            request = dhcp.parse(data)
        except dhcp.DhcpError as error:
            log.debug("dhcp on %s: %s", self._interface, error)
            return
        reply = dhcp.answer(request, self.lease)
        if reply is None or self._frames is None:
            return
        source = self._frames.getsockname()[4]
        try:
            self._frames.send(frame(reply, source, self.lease))
        except OSError as error:  # no warning: a guest that asks and does not listen would fill the log
            log.debug("dhcp on %s: no answer to %s: %s", self._interface, self.lease.address, error)


def frame(reply: dhcp.Reply, source: bytes, lease: dhcp.Lease) -> bytes:
    """The Ethernet frame that carries `reply` from the MAC `source` (RFC 791, RFC 768)."""
    payload = dhcp.build(reply.message, reply.max_size)
    addresses = lease.server.packed + reply.address.packed
    length = 8 + len(payload)
    udp = struct.pack("!4H", dhcp.SERVER_PORT, dhcp.CLIENT_PORT, length, 0) + payload
    pseudo = addresses + struct.pack("!2H", socket.IPPROTO_UDP, length)
    udp = udp[:6] + struct.pack("!H", _checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    ip = struct.pack("!2B3H2BH", 0x45, 0x10, 20 + length, 0, 0x4000, 64, socket.IPPROTO_UDP, 0) + addresses
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return reply.mac + source + struct.pack("!H", _ETH_P_IP) + ip + udp


def _checksum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
