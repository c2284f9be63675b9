"""Which address belongs to which VM's interface: a file of leases, and the pure choice of the next free one.

A lease is kept under pool, namespace, VM and interface, and lasts until `release`, which comes when the VM is deleted:
so address and MAC stay the same over stop and start (kubevirt/kubevirt#8550). The file is replaced whole and fsynced.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from isthmus.engine.node.net.model import NetworkError


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses that may be given out: `first` to `last` of `subnet` without those in `reserved`."""

    name: str
    subnet: IPv4Network
    reserved: frozenset[IPv4Address] = frozenset()
    first: IPv4Address | None = None
    last: IPv4Address | None = None

    def holds(self, address: IPv4Address) -> bool:
        """Whether the pool may give out `address`."""
        low, high = self.bounds
        return low <= address <= high and address not in self.reserved

    @property
    def bounds(self) -> tuple[IPv4Address, IPv4Address]:
        """The first and the last address, network and broadcast address left out."""
        edge = 1 if self.subnet.prefixlen < 31 else 0
        low, high = self.subnet.network_address + edge, self.subnet.broadcast_address - edge
        return max(self.first or low, low), min(self.last or high, high)


@dataclass(frozen=True, slots=True)
class Lease:
    """One interface's address in one pool."""

    pool: str
    namespace: str
    name: str
    nic: str
    address: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the lease is found by."""
        return self.pool, self.namespace, self.name, self.nic


def choose(pool: Pool, taken: frozenset[IPv4Address], after: IPv4Address | None) -> IPv4Address | None:
    """The next free address after `after`, going round: a freed one rests before it is used again. None when full."""
    low, high = pool.bounds
    size = int(high) - int(low) + 1
    start = int(after) - int(low) + 1 if after is not None and low <= after <= high else 0
    for step in range(max(size, 0)):
        candidate = low + (start + step) % size
        if candidate not in taken and pool.holds(candidate):
            return candidate
    return None


class Leases:
    """The leases of one node, in memory and in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._leases: dict[tuple[str, str, str, str], Lease] = {}
        self._last: dict[str, str] = {}
        if path.exists():
            stored = json.loads(path.read_bytes())
            self._leases = {lease.key: lease for lease in (Lease(**raw) for raw in stored["leases"])}
            self._last = stored["last"]

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    def take(self, pool: Pool, namespace: str, name: str, nic: str, wanted: str = "") -> IPv4Address:
        """The interface's address in `pool`: the one it has, the one it wants, or a free one.

        Raises NetworkError if the pool is used up or `wanted` is another's.
        """
        held = self._leases.get((pool.name, namespace, name, nic))
        if held and pool.holds(IPv4Address(held.address)) and wanted in ("", held.address):
            return IPv4Address(held.address)
        address = self._pick(pool, wanted)
        lease = Lease(pool.name, namespace, name, nic, str(address))
        last = self._last if wanted else self._last | {pool.name: str(address)}
        self._keep(self._leases | {lease.key: lease}, last)
        return address

    def _pick(self, pool: Pool, wanted: str) -> IPv4Address:
        taken = {IPv4Address(lease.address): lease for lease in self if lease.pool == pool.name}
        if wanted:
            address = IPv4Address(wanted)
            if (owner := taken.get(address)) is not None:
                message = f"{wanted} on {pool.name} belongs to {owner.namespace}/{owner.name}"
                raise NetworkError("AddressInUse", message)
            return address
        last = self._last.get(pool.name)
        address = choose(pool, frozenset(taken), IPv4Address(last) if last else None)  # type: ignore[assignment]
        if address is None:
            low, high = pool.bounds
            raise NetworkError("NoFreeAddress", f"all addresses of {pool.name} ({low} to {high}) are taken")
        return address

    def release(self, namespace: str, name: str) -> list[str]:
        """Free all addresses of a VM and give them back."""
        gone = [lease for lease in self if (lease.namespace, lease.name) == (namespace, name)]
        if gone:
            keys = {lease.key for lease in gone}
            self._keep({key: lease for key, lease in self._leases.items() if key not in keys}, self._last)
        return [lease.address for lease in gone]

    def owners(self) -> set[tuple[str, str]]:
        """(namespace, VM) of all leases."""
        return {(lease.namespace, lease.name) for lease in self}

    def _keep(self, leases: dict[tuple[str, str, str, str], Lease], last: dict[str, str]) -> None:
        """First on disk: what a full one did not take must not be given out, a restarted agent would give it again."""
        text = json.dumps({"last": last, "leases": [asdict(lease) for lease in leases.values()]}, indent=1)
        write_durably(self.path, text.encode())
        self._leases, self._last = leases, last


def write_durably(path: Path, data: bytes) -> None:
    """Replace a small file so that a crash leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
