"""What a node remembers of the bridges it chose and made: node.json, written before anything is made.

Kept by `node`, so that a restarted agent chooses the same again, and takes away no bridge that was there before it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from isthmus.engine.node.net.ipam import write_durably


@dataclass(slots=True)
class Kept:
    """The pod network's bridge and subnet, the bridges that we made, what is translated, whom we gave an address."""

    bridge: str
    subnet: str = ""
    made: list[str] = field(default_factory=list)
    masqueraded: dict[str, str] = field(default_factory=dict)  # subnet -> bridge
    gateways: dict[str, str] = field(default_factory=dict)  # bridge -> address

    def remember(self, bridge: str, *, existed: bool, masqueraded: IPv4Network | None) -> None:
        """A bridge that is about to be made, or was found; the subnet behind it that is to be translated."""
        if not existed and bridge not in self.made:
            self.made.append(bridge)
        if masqueraded is not None:
            self.masqueraded[str(masqueraded)] = bridge

    def forget(self, bridges: Iterable[str]) -> bool:
        """Bridges that are gone; whether the translation changes with them."""
        gone = set(bridges)
        self.made = [name for name in self.made if name not in gone]
        self.gateways = {name: address for name, address in self.gateways.items() if name not in gone}
        before = len(self.masqueraded)
        self.masqueraded = {subnet: name for subnet, name in self.masqueraded.items() if name not in gone}
        return len(self.masqueraded) != before

    def translated(self) -> list[tuple[IPv4Network, str]]:
        """What is translated, in order."""
        return [(IPv4Network(subnet), bridge) for subnet, bridge in sorted(self.masqueraded.items())]

    def save(self, path: Path) -> None:
        """Write it down, durably."""
        state = {name: getattr(self, name) for name in ("subnet", "bridge", "made", "masqueraded", "gateways")}
        write_durably(path, json.dumps(state, indent=1).encode())


def load(path: Path, bridge: str) -> Kept:
    """What an earlier agent has written; with nothing written, the pod network is to be on `bridge`."""
    if not path.exists():
        return Kept(bridge)
    state = json.loads(path.read_bytes())
    return Kept(
        state.get("bridge") or bridge,
        state["subnet"],
        state["made"],
        state["masqueraded"],
        state.get("gateways") or {},
    )
