"""Progress in `status.transfer` of a VirtualMachineImport: see `progress.Snapshot.as_dict`."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from isthmus.client import connect, resources
from isthmus.importer.worker.progress import Snapshot


class Status:
    """Patches `status.transfer` of a VirtualMachineImport, in a thread with an event loop of its own.

    Only the newest snapshot counts: what a slow server does not take in time is never sent.
    """

    def __init__(self, kubeconfig: Path | None, namespace: str, name: str) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._name = name
        self._newest: Snapshot | None = None
        self._changed = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run_told, name="status", daemon=True)
        self._thread.start()

    def report(self, snapshot: Snapshot) -> None:
        """See Progress."""
        self._newest = snapshot
        self._changed.set()

    def close(self) -> None:
        """See Progress."""
        self._closed = True
        self._changed.set()
        self._thread.join(timeout=15)

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            client = connect.open_client(self._kubeconfig, "isthmus-importer-worker")
            stack.push_async_callback(client.close)
            while not self._closed or self._newest:
                await asyncio.to_thread(self._changed.wait)
                self._changed.clear()
                snapshot, self._newest = self._newest, None
                if snapshot is not None:
                    body = {"status": {"transfer": snapshot.as_dict()}}
                    with self._told():
                        await client.patch(resources.IMPORTS, self._name, body, self._namespace, subresource="status")

    def _run_told(self) -> None:
        with self._told():
            asyncio.run(self._run())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """See Progress: told, never raised."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            sys.stderr.write(f"status of {self._namespace}/{self._name} not written: {error}\n")
