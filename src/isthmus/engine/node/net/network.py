"""The door to a node's networks: `start`, `attach` a VM, `detach` it, `adopt` what an earlier agent left.

Called by the agent, which runs QEMU in the attachment's namespace. Decisions are `link`'s and `plan`'s, doing is
`apply`'s, the node's own bridges are `node`'s; here is the order of things, and what is remembered so that any crash
can be undone: a record is written before the first link is made and removed after the last one is gone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from weakref import WeakValueDictionary

from isthmus.engine.node.net import host, ipam, names, netns, plan, slirp
from isthmus.engine.node.net import link as links_
from isthmus.engine.node.net.apply import apply, apply_at_once, remove
from isthmus.engine.node.net.dhcpservers import DhcpServers
from isthmus.engine.node.net.link import Link, Owner
from isthmus.engine.node.net.model import (
    Attachment,
    BridgeNetwork,
    DhcpOptions,
    Forward,
    NetworkConfig,
    NetworkError,
    Nic,
    NicRequest,
    PodNetwork,
    Port,
)
from isthmus.engine.node.net.node import Node
from isthmus.engine.node.net.record import Record, Records

__all__ = [
    "Attachment",
    "BridgeNetwork",
    "DhcpOptions",
    "Forward",
    "Network",
    "NetworkConfig",
    "NetworkError",
    "Nic",
    "NicRequest",
    "PodNetwork",
    "Port",
]


class Network:
    """The networks of one node; `directory` holds its leases and records (e.g. Home.node(NODE)/"net").

    `unprivileged` says why links and namespaces cannot be made (QEMU's user networking is planned then), or is empty.
    """

    def __init__(self, directory: Path, node: str, config: NetworkConfig | None = None) -> None:
        self.config = config or NetworkConfig()
        self.unprivileged = "asked for" if self.config.unprivileged else host.why_unprivileged()
        self._scope = names.digest(str(directory.resolve()), node)
        self._node = Node(directory / "node.json", self._scope, self.config)
        self._leases = ipam.Leases(directory / "leases.json")
        self._records = Records(directory / "attachments")
        self._dhcp = DhcpServers()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._lease_lock = asyncio.Lock()

    async def start(self) -> None:
        """Make or adopt the pod network's bridge, address, NAT and forwarding. Idempotent. Raises NetworkError."""
        if not self.unprivileged:
            await self._node.start()

    async def attach(self, uid: str, requests: Sequence[NicRequest], pod_key: tuple[str, str]) -> Attachment:
        """Join a VM to its networks.

        `pod_key` is (namespace, VM name): what the lease is kept under, so not the launcher Pod's changing name.
        Called again with other requests it changes only the difference: NIC hotplug and unplug, other ports or DHCP
        options, a move to another bridge. Raises NetworkError; then things are as they were before.
        """
        owner = Owner(self._scope, uid, *pod_key)
        async with self._lock(uid):
            links_.check(list(requests))
            if self.unprivileged:
                return await self._attach_plain(owner, requests)
            with self._node.attaching():
                links = [await self._decide(owner, request) for request in requests]
                former = await self._usable_record(uid, links)
                if former is None:
                    record = await self._build(owner, links)
                else:
                    record = await self._change(former, links)
            return _attachment(record)

    async def detach(self, uid: str) -> None:
        """Undo `attach`; its addresses stay reserved. A uid that is not attached is no error. Raises NetworkError."""
        async with self._lock(uid):
            record = self._records.read(uid)
            self._dhcp.close(uid)
            if not self.unprivileged:
                name = self._netns(uid)
                if record is not None or netns.path_of(name).exists():
                    await remove(plan.detach(name, [link.host for link in record.links] if record else []))
                await self._node.drop_unused()
            self._records.forget(uid)

    async def tidy(self) -> None:
        """Take away bridges that nobody needs any more, whatever an earlier detach has left. Raises NetworkError."""
        if not self.unprivileged:
            await self._node.drop_unused()

    async def release(self, namespace: str, name: str) -> None:
        """Free the addresses of a VM that was deleted."""
        async with self._lease_lock:
            await asyncio.to_thread(self._leases.release, namespace, name)

    def holders(self) -> set[tuple[str, str]]:
        """(namespace, name) of the VMs for which addresses are kept."""
        return self._leases.owners()

    async def adopt(self, uids: set[str]) -> None:
        """After an agent restart: serve DHCP again for the living VMs `uids`, remove what the others left.

        One that is broken does not keep the others from being looked after. Raises NetworkError for all that failed.
        """
        failed = []
        for uid in self._records.uids():
            try:
                await (self._resume(uid) if uid in uids else self.detach(uid))
            except NetworkError as error:
                failed.append(f"{uid}: {error}")
        if failed:
            raise NetworkError("NetworkFailed", "; ".join(failed))

    async def _resume(self, uid: str) -> None:
        async with self._lock(uid):
            record = self._records.read(uid)
            if record is not None and record.netns and _is_sound(record):
                await self._dhcp.serve(record)  # any other is mended by `attach`, which knows what is asked for

    async def stop(self) -> None:
        """Close our sockets; networks and VMs stay."""
        self._dhcp.close_all()
        self._node.release()

    async def remove(self) -> None:
        """Undo everything that this node made on the host, for an uninstall. Leases are kept."""
        await self.adopt(set())
        if not self.unprivileged:
            await self._node.remove()

    # --- deciding -----------------------------------------------------------------------------------------------------

    def _lock(self, uid: str) -> asyncio.Lock:
        """One change of a VM's networks at a time; the lock lives as long as somebody holds or awaits it."""
        return self._locks.setdefault(uid, asyncio.Lock())

    def _netns(self, uid: str) -> str:
        return f"{self.config.prefix}-{names.digest(self._scope, uid)[:12]}"

    async def _decide(self, owner: Owner, request: NicRequest) -> Link:
        if isinstance(request.network, BridgeNetwork):
            await self._node.prepare(request.network)
        pool = links_.pool_of(request, self._node.facts)
        address = await self._take(pool, owner, request, links_.wanted_address(request)) if pool else None
        return links_.decide(request, owner, self._node.facts, address)

    async def _take(self, pool: ipam.Pool, owner: Owner, request: NicRequest, wanted: str) -> IPv4Address:
        async with self._lease_lock:
            return await asyncio.to_thread(self._leases.take, pool, owner.namespace, owner.name, request.name, wanted)

    async def _usable_record(self, uid: str, wanted: Sequence[Link]) -> Record | None:
        """The record of a VM whose networks are really there. What a crash or a reboot left half is removed.

        Links go by the record's names and those `wanted` next: a namespace's own are removed by the kernel too late.
        """
        record, name = self._records.read(uid), self._netns(uid)
        if record and _is_sound(record):
            return record
        if record or netns.path_of(name).exists():
            self._dhcp.close(uid)
            hosts = dict.fromkeys(link.host for link in (*(record.links if record else ()), *wanted))
            await remove(plan.detach(name, list(hosts)))
            self._records.forget(uid)
        return None

    # --- doing --------------------------------------------------------------------------------------------------------

    async def _build(self, owner: Owner, links: Sequence[Link]) -> Record:
        record = Record(owner.uid, owner.namespace, owner.name, self._netns(owner.uid), tuple(links))
        self._records.write(record)
        try:
            return await self._make(record, links, new=True)
        except BaseException:
            self._dhcp.close(owner.uid)
            await remove(plan.detach(record.netns, [link.host for link in links]))
            self._records.forget(owner.uid)
            raise

    async def _make(self, record: Record, added: Sequence[Link], *, new: bool) -> Record:
        """Make the links `added` of `record` and what belongs to all its links."""
        label = f"{record.namespace}/{record.name}"
        *outer, inner = plan.attach(record.netns, added, self._node.facts, label, new=new)
        await apply(outer)
        await apply_at_once([inner, plan.rules(record.netns, self.config.table, record.links)])
        await self._dhcp.serve(record)
        complete = replace(record, complete=True)
        self._records.write(complete)
        return complete

    async def _change(self, former: Record, links: Sequence[Link]) -> Record:
        old = {link.request.name: link for link in former.links}
        new = {link.request.name: link for link in links}
        if list(old.values()) == list(new.values()):
            await self._dhcp.serve(former)
            return former
        added = [link for name, link in new.items() if name not in old]
        kept = [(old[name], link) for name, link in new.items() if name in old]
        for before, after in kept:
            _check_change(before, after)
        record = replace(former, links=tuple(links))
        # Whatever exists at any moment is recorded, so that detach finds it: first the union, at the end the new.
        self._records.write(replace(former, links=(*former.links, *added)))
        try:
            for before, after in kept:
                if before.bridge != after.bridge or _vlan(before) != _vlan(after):
                    await self._node.enslave(after)
            changed = await self._make(record, added, new=False)
        except BaseException:
            await self._restore(former, added, kept)
            raise
        await self._unplug(former, [link for name, link in old.items() if name not in new])
        return changed

    async def _restore(self, former: Record, added: Sequence[Link], kept: Sequence[tuple[Link, Link]]) -> None:
        await self._unplug(former, added)
        for before, after in kept:
            if before.bridge != after.bridge:
                await self._node.enslave(before)
        await apply([plan.rules(former.netns, self.config.table, former.links)])
        await self._dhcp.serve(former)
        self._records.write(former)

    async def _unplug(self, record: Record, gone: Sequence[Link]) -> None:
        for link in gone:
            self._dhcp.close_link(record.uid, link)
            for step in plan.unplug(record.netns, link):
                await remove(step)

    # --- without root -------------------------------------------------------------------------------------------------

    async def _attach_plain(self, owner: Owner, requests: Sequence[NicRequest]) -> Attachment:
        nics = []
        for request in requests:
            mac = request.mac or names.mac(self.config.salt, owner.namespace, owner.name, request.name)
            on_pod_network = isinstance(request.network, PodNetwork)
            address = await self._take(slirp.POOL, owner, request, "") if on_pod_network else None
            host_name = (request.host_name or owner.name).split(".", 1)[0]
            nics.append(slirp.nic(request, mac, address, host_name, host.lowest_port()))
        record = Record(owner.uid, owner.namespace, owner.name, "", (), tuple(nics), complete=True)
        self._records.write(record)
        return _attachment(record)


def _is_sound(record: Record) -> bool:
    """Whether all that the record speaks of was made and is still there."""
    return record.complete and (not record.netns or netns.is_alive(record.netns))


def _vlan(link: Link) -> int:
    return link.request.network.vlan if isinstance(link.request.network, BridgeNetwork) else 0


def _check_change(before: Link, after: Link) -> None:
    """Raise NetworkError for what a running VM cannot follow."""
    fixed = [
        ("its binding", before.request.binding, after.request.binding),
        ("whether it is on the pod network", before.on_pod_network, after.on_pod_network),
        ("its MAC address", before.mac, after.mac),
        ("its number of queues", before.request.queues, after.request.queues),
        ("its pod address", before.inner, after.inner),
    ]
    for what, old, new in fixed:
        if old != new:
            message = f"interface {before.request.name}: {what} changes ({old} to {new}) only when the VM restarts"
            raise NetworkError("RestartRequired", message)


def _attachment(record: Record) -> Attachment:
    nics = record.plain or tuple(link.nic for link in record.links)
    pod_ips = tuple(nic.pod_ip for nic in nics if nic.pod_ip)
    return Attachment(netns.path_of(record.netns) if record.netns else None, nics, pod_ips)
