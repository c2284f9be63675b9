"""The node's own objects: its Node, and the Lease that says it is alive."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from isthmus.client import resources
from isthmus.client.api import Client
from isthmus.engine.node import capacity
from isthmus.engine.node.vm.machine import Host
from isthmus.lib import clock
from isthmus.machinery import conditions
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

Object = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
HEARTBEAT_SECONDS = 10
STATUS_SECONDS = 60


class Registration:
    """Keeps Node and Lease current. Runs until cancelled; the API server may come and go."""

    def __init__(self, client: Client, node: str, address: str, host: Host, directory: Path) -> None:
        self._client = client
        self._node = node
        self._address = address
        self._host = host
        self._directory = directory

    async def register(self) -> None:
        """Have the Node object, with our labels and a fresh status. What others set on it is kept."""
        labels = capacity.build_labels(self._node, self._host)
        try:
            node = await self._client.get(resources.NODES, self._node)
            node = await self._client.patch(resources.NODES, self._node, {"metadata": {"labels": labels}})
        except StatusError as error:
            if error.code != 404:
                raise
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._node, "labels": labels}, "spec": {}}
            node = await self._client.create(resources.NODES, body)
        found = capacity.read_resources(self._directory)
        old = node.get("status") or {}
        status = capacity.build_status(self._node, self._address, self._host, found, old, clock.timestamp())
        await self._client.patch(resources.NODES, self._node, {"status": status}, subresource="status")

    async def is_doubted(self) -> bool:
        """Whether somebody has said of this node that it is not ready while it was away."""
        node = await self._client.get(resources.NODES, self._node)
        return (conditions.of(node, "Ready") or {}).get("status") != "True"

    async def renew(self) -> None:
        """Renew the Lease, or make it."""
        spec = {
            "holderIdentity": self._node,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": clock.micro_timestamp(),
        }
        try:
            await self._client.patch(resources.LEASES, self._node, {"spec": spec}, LEASE_NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            metadata = {"name": self._node, "namespace": LEASE_NAMESPACE}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._client.create(resources.LEASES, body, LEASE_NAMESPACE)

    async def run(self) -> None:
        """Heartbeats, and the status again every STATUS_SECONDS, or when it is doubted."""
        beats = 0
        while True:
            try:
                await self.renew()
                if beats % (STATUS_SECONDS // HEARTBEAT_SECONDS) == 0 or await self.is_doubted():
                    await self.register()
                beats += 1
                delay = float(HEARTBEAT_SECONDS)
            except StatusError as error:
                beats, delay = 0, 1.0  # after an outage the whole status is told at once
                log.debug("heartbeat: %s", error.message)
            await asyncio.sleep(delay)
