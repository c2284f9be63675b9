"""The node's own share of its networks: the pod network's bridge, bridges made on demand, and the NAT behind them.

Called by `network`. What it chose and made is kept in node.json, so that a restarted agent chooses the same again and
`remove` takes away no bridge that was there before us.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from isthmus.engine.node.net import claim, host, kept, names, plan, resolver
from isthmus.engine.node.net.apply import apply, remove
from isthmus.engine.node.net.link import Facts, Link, gateway_of, node_bridge
from isthmus.engine.node.net.model import BridgeNetwork, NetworkConfig, NetworkError
from isthmus.engine.node.net.plan import Step
from isthmus.lib import run


class Node:
    """Bridges and NAT of one node, in the network namespace in which the agent runs."""

    def __init__(self, path: Path, scope: str, config: NetworkConfig) -> None:
        self.path = path
        self.scope = scope
        self.config = config
        self._kept = kept.Kept(config.bridge)
        self._claim = -1
        self._facts: Facts | None = None
        self._attaching = 0
        self._ready: set[BridgeNetwork] = set()
        self._probed = False
        self._lock = asyncio.Lock()

    @property
    def bridge(self) -> str:
        """The pod network's: another one than configured if that is another node's."""
        return self._kept.bridge

    @property
    def facts(self) -> Facts:
        """What was chosen at `start`."""
        if self._facts is None:
            raise NetworkError("NotStarted", "the node's networks are not started")
        return self._facts

    async def start(self) -> None:
        """Make or adopt the pod network. Raises NetworkError."""
        async with self._lock:
            self._kept = kept.load(self.path, self.config.bridge)
            await self._claim_bridge()
            routes, mtu = await host.find_routes()
            former = IPv4Network(self._kept.subnet) if self._kept.subnet else None
            subnet = host.choose_subnet(self.config.subnet, former, routes, self.bridge)
            config = replace(self.config, bridge=self.bridge)
            self._facts = Facts(config, subnet, self.config.mtu or mtu, self._resolver())
            if former != subnet:
                self._kept.masqueraded.pop(str(former), None)
            self._kept.subnet = str(subnet)
            await self._bring_up(self.bridge, subnet)

    async def _claim_bridge(self) -> None:
        """Find the bridge that is ours: see `claim`. What another node has taken over meanwhile is forgotten."""
        self.release()
        for name in claim.candidates(self.config.bridge, self.bridge):
            try:
                taken = claim.take(name, self.scope)
            except OSError:
                return  # there is no /run to write to: then the name alone has to do
            if taken is None:
                continue
            self._claim, former = taken
            if former in ("", self.scope) or await claim.is_free(name, self.config.prefix):
                self._move_to(name)
                return
            claim.give_back(*taken)
            self._claim = -1
        raise NetworkError("BridgeInUse", f"every bridge from {self.config.bridge} on belongs to another node")

    def _move_to(self, name: str) -> None:
        if name != self.bridge:
            self._kept.forget([self.bridge])
        self._kept.bridge = name

    def release(self) -> None:
        """The bridge stays ours only as long as its machines do."""
        claim.release(self._claim)
        self._claim = -1

    async def _bring_up(self, bridge: str, subnet: IPv4Network) -> None:
        exists = host.has_link(bridge)
        lines = plan.bridge(bridge, self._mac(bridge), self.facts.mtu, exists, self.facts.gateway)
        self._remember(bridge, exists, subnet)
        await apply([Step("ip", tuple(lines)), Step("sysctl", ("net/ipv4/ip_forward=1",)), self._table()])

    def _resolver(self) -> resolver.Resolver:
        found = resolver.read()
        if self.config.dns:
            own = resolver.choose(["\n".join(f"nameserver {server}" for server in self.config.dns)])
            found = replace(own, search=found.search)
        return replace(found, search=self.config.search) if self.config.search else found

    async def prepare(self, network: BridgeNetwork) -> None:
        """Make the bridge of a NetworkAttachmentDefinition if it is not there. Raises NetworkError."""
        async with self._lock:
            if network.vlan:
                await self._probe_vlans()
            name = node_bridge(network, self.facts)
            exists = host.has_link(name)
            if exists and network in self._ready:
                return
            subnet = network.ipam.subnet if network.ipam and network.ip_masq else None
            gateway = gateway_of(network)
            if gateway and network.is_gateway:
                self._kept.gateways[name] = str(gateway.ip)
            self._remember(name, exists, subnet if gateway else None)
            steps = plan.bridge_of(network, self._mac(name), host.has_link, self.facts)
            await apply([*steps, *([self._table()] if subnet else [])])
            self._ready.add(network)

    async def _probe_vlans(self) -> None:
        """Whether bridges of this kernel filter VLANs: tried once, on a bridge that is removed at once."""
        if self._probed:
            return
        name = names.host_link(self.config.prefix, self.scope, "probe")
        try:
            await run.run(["ip", "link", "add", name, "type", "bridge", "vlan_filtering", "1"])
            filtering = True
        except run.CommandError:
            filtering = False
        await remove(Step("ip", (f"link del {name}",)))
        self._facts, self._probed = replace(self.facts, vlan_filtering=filtering), True

    async def enslave(self, link: Link) -> None:
        """Put an existing interface on the bridge that `link` names: a running VM moves to another network."""
        await apply(plan.move(link, self.facts))

    @contextmanager
    def attaching(self) -> Iterator[None]:
        """While a VM joins its networks, a bridge that has no port yet is no unused one."""
        self._attaching += 1
        try:
            yield
        finally:
            self._attaching -= 1

    async def drop_unused(self) -> None:
        """Take away those of our bridges that have neither a port nor an address but ours. They come back on demand."""
        async with self._lock:
            if self._attaching or self._facts is None:
                return
            unused = [name for name in self._kept.made if await self._is_unused(name)]
            if not unused:
                return
            await remove(Step("ip", tuple(f"link del {name}" for name in unused)))
            self._ready = {network for network in self._ready if node_bridge(network, self.facts) not in unused}
            changed = self._kept.forget(unused)
            self._kept.save(self.path)
            if changed:
                await apply([self._table()])

    async def _is_unused(self, bridge: str) -> bool:
        if bridge == self.bridge or not host.has_link(bridge):
            return False
        if await host.find_ports(bridge):
            return False
        return set(await host.find_addresses(bridge)) <= {self._kept.gateways.get(bridge, "")}

    async def remove(self) -> None:
        """Take away every bridge and table that we made.

        What somebody else has joined to a bridge of ours keeps it, and the address translation behind it.
        """
        async with self._lock:
            self._kept = kept.load(self.path, self.config.bridge)
            idle = [name for name in self._kept.made if host.has_link(name) and not await host.find_ports(name)]
            await remove(Step("ip", tuple(f"link del {name}" for name in idle)))
            if not host.has_link(self.bridge):
                lines = (f"table ip {self.table} {{ }}", f"delete table ip {self.table}")
                await apply([Step("nft", lines)])
                claim.forget(self.bridge, self.scope)
            self._kept = kept.Kept(self.config.bridge)
            self._ready.clear()
            self.path.unlink(missing_ok=True)

    def _mac(self, bridge: str) -> str:
        return names.mac("bridge", self.scope, bridge)

    def _table(self) -> Step:
        return Step("nft", plan.node_table(self.table, self._kept.translated()))

    @property
    def table(self) -> str:
        """Our nft table in the node's namespace: one for each bridge, as each node replaces its own as a whole."""
        return self.config.table if self.bridge == self.config.bridge else f"{self.config.table}-{self.bridge}"

    def _remember(self, bridge: str, existed: bool, masqueraded: IPv4Network | None) -> None:
        """Before it is made: what a crash leaves is then known to be ours."""
        self._kept.remember(bridge, existed=existed, masqueraded=masqueraded)
        self._kept.save(self.path)
