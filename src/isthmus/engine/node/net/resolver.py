"""Which DNS servers guests are told of: the host's, unless they answer on the host's loopback alone. Pure.

systemd-resolved lists its stub 127.0.0.53 in /etc/resolv.conf and the real servers in a file of its own; the kubelet
prefers that file for the same reason.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

RESOLV_CONFS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


@dataclass(frozen=True, slots=True)
class Resolver:
    """What a guest can use. `note` says why there is no server, for people."""

    servers: tuple[IPv4Address, ...] = ()
    search: tuple[str, ...] = ()
    note: str = ""


def read(paths: tuple[Path, ...] = RESOLV_CONFS) -> Resolver:
    """The resolver of this host now."""
    return choose([path.read_text(errors="replace") for path in paths if path.exists()])


def choose(texts: list[str]) -> Resolver:
    """The first resolv.conf of `texts` with a server that a guest can reach; search domains even without one."""
    search: tuple[str, ...] = ()
    for text in texts:
        servers, domains = _parse(text)
        search = search or domains
        reachable = tuple(server for server in servers if not server.is_loopback and not server.is_unspecified)
        if reachable:
            return Resolver(reachable[:3], domains or search)
    return Resolver((), search, "the host's resolver answers on its loopback only: guests get no DNS server")


def _parse(text: str) -> tuple[list[IPv4Address], tuple[str, ...]]:
    servers: list[IPv4Address] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers += _ipv4(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(word.strip(".") for word in words[1:] if word != ".")
    return servers, search


def _ipv4(text: str) -> list[IPv4Address]:
    try:
        address = ip_address(text)
    except ValueError:
        return []
    return [address] if isinstance(address, IPv4Address) else []
