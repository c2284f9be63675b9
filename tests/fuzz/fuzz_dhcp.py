"""Throw mutated DHCP messages at the parser and the server: `python tests/fuzz/fuzz_dhcp.py [seconds] [seed]`.

A finding is any exception but DhcpError, printed with the bytes that caused it.
"""

import random
import sys
import time
from ipaddress import IPv4Address, IPv4Network

from isthmus.codec import dhcp

MAC = bytes.fromhex("020000000001")
LEASE = dhcp.Lease(MAC, IPv4Address("10.0.2.2"), IPv4Network("10.0.2.0/24"), IPv4Address("10.0.2.1"))


def seeds() -> list[bytes]:
    """One message of each type, with the options that the server looks at."""
    options = {50: LEASE.address.packed, 52: b"\3", 54: LEASE.server.packed, 57: b"\5\0", 61: b"\1" + MAC, 80: b""}
    return [dhcp.build(dhcp.Message(1, 1, MAC, {53: bytes([kind]), **options})) for kind in dhcp.MessageType]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, and sometimes the length."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    if rng.random() < 0.3:
        del changed[rng.randrange(len(changed)) :]
    if rng.random() < 0.2:
        changed += rng.randbytes(rng.randrange(1300))
    return bytes(changed)


def main(seconds: float = 10, seed: int = 0) -> int:
    """The number of findings (0 or 1)."""
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    corpus = seeds()
    while time.monotonic() < end:
        data = mutate(rng.choice(corpus), rng)
        count += 1
        try:
            reply = dhcp.answer(dhcp.parse(data), LEASE)
            if reply is not None:
                dhcp.parse(dhcp.build(reply.message, reply.max_size))
        except dhcp.DhcpError:
            continue
        except Exception as error:  # noqa: BLE001 (that is what a finding is)
            print(f"{error!r} for {data.hex()}")
            return 1
    print(f"{count} messages, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3])))
