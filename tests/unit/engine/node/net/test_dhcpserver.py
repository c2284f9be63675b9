"""The frames that carry DHCP answers: addresses, lengths and checksums as RFC 791 and RFC 768 want them."""

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from isthmus.codec import dhcp
from isthmus.engine.node.net.dhcpserver import frame

MAC, SOURCE = bytes.fromhex("020000000001"), bytes.fromhex("020000000000")
LEASE = dhcp.Lease(MAC, IPv4Address("10.0.2.2"), IPv4Network("10.0.2.0/24"), IPv4Address("10.0.2.1"), host_name="web")


def ones_complement(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("private", ["", "x" * 200, "x" * 201], ids=["padded", "even", "odd"])
def test_a_frame_has_sound_checksums_and_lengths(private):
    lease = replace(LEASE, private={224: private} if private else {})
    reply = dhcp.answer(dhcp.Message(1, 7, MAC, {53: b"\1"}), lease)
    data = frame(reply, SOURCE, lease)
    ip, udp = data[14:34], data[34:]
    assert data[:14] == MAC + SOURCE + b"\x08\x00"
    assert ones_complement(ip) == 0xFFFF
    pseudo = ip[12:20] + struct.pack("!2H", 17, len(udp))
    assert ones_complement(pseudo + udp + b"\0" * (len(udp) % 2)) == 0xFFFF
    assert struct.unpack("!H", ip[2:4])[0] == len(data) - 14
    assert dhcp.parse(udp[8:]).yiaddr == LEASE.address
