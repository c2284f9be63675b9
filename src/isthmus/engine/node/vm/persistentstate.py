"""What a VM keeps from one instance to the next beside its volumes: UEFI variables, TPM. By name, not by uid."""

import asyncio
import shutil
from pathlib import Path

Key = tuple[str, str]  # namespace, name of the VM


class PersistentState:
    """`directory` is the node's `state/`: NAMESPACE/NAME/ below it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, key: Key) -> Path:
        """Where a VM's state lies; it may not exist."""
        return self._directory / key[0] / key[1]

    def keepers(self) -> list[Key]:
        """The VMs that keep something here."""
        return [(path.parent.name, path.name) for path in sorted(self._directory.glob("*/*/"))]

    async def forget(self, key: Key) -> None:
        """Remove the state of a VM that is gone."""
        await asyncio.to_thread(shutil.rmtree, self.path(key), ignore_errors=True)
