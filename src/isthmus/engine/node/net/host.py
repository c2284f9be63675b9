"""What this host allows and has: rights, routes, the MTU towards the world; and which subnet the pod network takes."""

import asyncio
import json
import os
import socket
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from isthmus.engine.node.net.model import NetworkError
from isthmus.lib import run

_NET_ADMIN, _SYS_ADMIN, _NET_RAW = 12, 21, 13
_NEEDED = {_NET_ADMIN: "CAP_NET_ADMIN", _SYS_ADMIN: "CAP_SYS_ADMIN", _NET_RAW: "CAP_NET_RAW"}
_CANDIDATES = tuple(IPv4Network(f"10.{second}.0.0/24") for second in range(42, 92))
Routes = dict[IPv4Network, str]


def missing_rights(status: str, *, tun: bool) -> str:
    """Why this process cannot make links and namespaces, from its /proc/self/status; "" if it can. Pure."""
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    effective = int(line.split()[1], 16)
    lacking = [name for bit, name in _NEEDED.items() if not effective >> bit & 1]
    if lacking:
        return f"the agent lacks {', '.join(lacking)}"
    return "" if tun else "there is no /dev/net/tun"


def why_unprivileged() -> str:
    """`missing_rights` of this process."""
    return missing_rights(Path("/proc/self/status").read_text(), tun=Path("/dev/net/tun").exists())


def lowest_port() -> int:
    """The first port that this process may bind."""
    if os.geteuid() == 0:
        return 1
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def has_link(name: str) -> bool:
    """Whether the calling thread's network namespace has a link called `name`."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


async def find_routes() -> tuple[Routes, int]:
    """The host's IPv4 routes (destination to link) and the MTU of the link of its default route (1500 without one)."""
    routes_raw, links = await asyncio.gather(_ip("-4", "route", "show", "table", "main"), _ip("link", "show"))
    routes: Routes = {}
    default = ""
    for route in routes_raw:
        link = str(route.get("dev", ""))
        if route.get("dst") == "default":
            default = default or link
        else:
            routes[IPv4Network(str(route["dst"]), strict=False)] = link
    mtu = next((int(link["mtu"]) for link in links if link.get("ifname") == default), 1500)
    return routes, mtu


async def _ip(*arguments: str) -> list[dict[str, Any]]:
    try:
        done = await run.run(["ip", "-j", *arguments])
    except run.CommandError as error:
        raise NetworkError("NetworkFailed", str(error)) from error
    parsed: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    return parsed


async def find_ports(bridge: str) -> list[str]:
    """The links that are on a bridge."""
    return [str(link["ifname"]) for link in await _ip("link", "show", "master", bridge) if link]


async def find_addresses(link: str) -> list[str]:
    """The IPv4 addresses of a link, and its IPv6 addresses but for those that the kernel gives."""
    shown = [info for entry in await _ip("addr", "show", "dev", link) for info in entry.get("addr_info") or ()]
    return [str(info["local"]) for info in shown if info.get("scope") == "global"]


def choose_subnet(asked: IPv4Network | None, kept: IPv4Network | None, routes: Routes, bridge: str) -> IPv4Network:
    """The pod network's subnet: the one asked for, else that of last time, else the first that clashes with no route.

    Pure. Raises NetworkError SubnetInUse naming the route in the way.
    """
    if asked is not None:
        if clash := _clash(asked, routes, bridge):
            message = f"the pod network {asked} overlaps the route to {clash[0]} through {clash[1]}; set another subnet"
            raise NetworkError("SubnetInUse", message)
        return asked
    for candidate in (*([kept] if kept else []), *_CANDIDATES):
        if not _clash(candidate, routes, bridge):
            return candidate
    raise NetworkError("SubnetInUse", "every subnet from 10.42.0.0/24 to 10.91.0.0/24 overlaps a route; set one")


def _clash(subnet: IPv4Network, routes: Routes, bridge: str) -> tuple[IPv4Network, str] | None:
    found = ((to, link) for to, link in routes.items() if link != bridge and to.overlaps(subnet))
    return next(found, None)
