"""Names and MACs derived from what they belong to, so that a restarted agent finds its links again. Pure.

Inside a VM's namespace the names are KubeVirt's (namescheme, hashed): eth0, k6t-eth0, tap0 for the pod network;
pod<hash>, k6t-<hash>, tap<hash> for another. Outside they begin with the configured prefix.
"""

import hashlib
import re
from dataclasses import dataclass

MAX_LINK_NAME = 15
"""IFNAMSIZ without its terminating zero."""

_LINK_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]{1,15}")
_MAC = re.compile(r"[0-9a-f]([02468ace])([:-][0-9a-f]{2}){5}", re.IGNORECASE)


def is_link_name(text: str) -> bool:
    """Whether `text` may stand as a link's name in what `ip` and `nft` are fed."""
    return _LINK_NAME.fullmatch(text) is not None


def is_unicast_mac(text: str) -> bool:
    """Whether `text` is a MAC that an interface may have."""
    return _MAC.fullmatch(text) is not None


def digest(*parts: str) -> str:
    """A hexadecimal digest of `parts`, which cannot collide by being split elsewhere."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def host_link(prefix: str, *parts: str) -> str:
    """The name of a link in the node's namespace: `prefix` and as much of the digest as fits."""
    return prefix + digest(*parts)[: MAX_LINK_NAME - len(prefix)]


@dataclass(frozen=True, slots=True)
class InnerNames:
    """The links of one interface inside the VM's namespace."""

    interface: str
    bridge: str
    tap: str


def inner_names(nic: str, on_pod_network: bool) -> InnerNames:
    """KubeVirt's names for the interface called `nic` in the VMI."""
    if on_pod_network:
        return InnerNames("eth0", "k6t-eth0", "tap0")
    short = digest(nic)[:11]
    return InnerNames(f"pod{short}", f"k6t-{short}", f"tap{short}")


def mac(*parts: str) -> str:
    """A locally administered unicast MAC (first byte 02) that depends on `parts` alone."""
    raw = bytes.fromhex("02" + digest("mac", *parts)[:10])
    return raw.hex(":")
