"""The data directory of one embedded home: where everything lies on disk (docs/ARCHITECTURE.md, "On disk")."""

import os
from dataclasses import dataclass
from pathlib import Path


def default_root() -> Path:
    """`$ISTHMUS_HOME`, else /var/lib/isthmus for root, else ~/.local/share/isthmus."""
    if configured := os.environ.get("ISTHMUS_HOME"):
        return Path(configured)
    return Path("/var/lib/isthmus") if os.geteuid() == 0 else Path.home() / ".local/share/isthmus"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths below one data directory. Nothing is created by looking."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, mode 0600."""
        return self.root / "kubeconfig"

    @property
    def store(self) -> Path:
        """Every object and its history (SQLite)."""
        return self.root / "store.db"

    @property
    def pki(self) -> Path:
        """Certificate authority, server and component keys."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Pids and sockets."""
        return self.root / "run"

    @property
    def images(self) -> Path:
        """Containers' and VMs' images, by digest."""
        return self.root / "images"

    def node(self, name: str) -> Path:
        """What belongs to one node: vms/, pods/, volumes/."""
        return self.root / "nodes" / name

    def component_kubeconfig(self, component: str) -> Path:
        """The identity of one of our own processes, e.g. `controllers` or `agent-NODE`."""
        return self.pki / f"{component}.kubeconfig"
