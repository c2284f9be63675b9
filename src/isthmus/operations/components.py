"""The processes of an embedded home as data: what runs, under which identity. Read by `supervisor` and `identities`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.lib.home import Home


@dataclass(frozen=True, slots=True)
class Component:
    """One process that the supervisor keeps."""

    name: str
    argv: tuple[str, ...]
    user: str = ""  # its identity at the API; empty for the API server itself
    groups: tuple[str, ...] = ()
    once: bool = False  # it has work that ends; it is started again only until that succeeds


def components(home: Home, port: int, nodes: Sequence[str]) -> list[Component]:
    """In starting order; none needs the others to be up, each waits for the API server by itself."""
    python, root = (sys.executable, "-m"), str(home.root)
    server = Component("apiserver", (*python, "isthmus.engine.server", "--home", root, "--port", str(port)))
    loops = Component(
        "controllers",
        (*python, "isthmus.operations.control_loops", "--home", root),
        "system:isthmus:controllers",
        ("system:isthmus:controllers",),
    )
    agents = [
        Component(
            f"agent-{node}",
            (*python, "isthmus.engine.node", "--home", root, "--node", node),
            f"system:node:{node}",
            ("system:nodes",),
        )
        for node in nodes
    ]
    appliance = Component("appliance", ("nice", *python, "isthmus.operations.appliance", "--home", root), once=True)
    return [server, loops, *agents, appliance]
