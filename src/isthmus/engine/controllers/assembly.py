"""All controllers of the embedded home on one set of informers. Used by `__main__` and by operations."""

import asyncio
import logging
from dataclasses import dataclass

from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.engine.controllers.cluster.clusterroleaggregation import ClusterRoleAggregationController
from isthmus.engine.controllers.cluster.commontypes import CommonTypes
from isthmus.engine.controllers.cluster.disruption import DisruptionController
from isthmus.engine.controllers.cluster.garbagecollector import GarbageCollector
from isthmus.engine.controllers.cluster.kubevirt import KubeVirtController
from isthmus.engine.controllers.cluster.namespace import NamespaceController
from isthmus.engine.controllers.cluster.nodelifecycle import NodeLifecycleController
from isthmus.engine.controllers.cluster.podgc import PodCollector
from isthmus.engine.controllers.cluster.resourcequota import ResourceQuotaController
from isthmus.engine.controllers.cluster.serviceaccount import ServiceAccountController
from isthmus.engine.controllers.storage.cdi import CDIController
from isthmus.engine.controllers.storage.datavolume import DataVolumeController
from isthmus.engine.controllers.storage.provisioner import ClaimController, VolumeController
from isthmus.engine.controllers.storage.upload import UploadController
from isthmus.engine.controllers.virtualization.pool import PoolController
from isthmus.engine.controllers.virtualization.replicaset import ReplicaSetController
from isthmus.engine.controllers.virtualization.vm import VirtualMachineController
from isthmus.engine.controllers.virtualization.vmi import VirtualMachineInstanceController
from isthmus.lib.home import Home
from isthmus.lib.tasks import Backoff
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assembly:
    """The controllers, built but not running."""

    cluster: CachedClient
    controllers: tuple[Controller, ...]
    collector: GarbageCollector
    claims: ClaimController
    cdi: CDIController
    kubevirt: KubeVirtController
    common_types: CommonTypes

    async def ensure_objects(self) -> None:
        """Write the objects that a home begins with; tried until the server takes them."""
        for write in (self.claims.ensure_class, self.kubevirt.ensure, self.cdi.ensure, self.common_types.ensure):
            backoff = Backoff(base=0.2, cap=5)
            while True:
                try:
                    await write()
                    break
                except StatusError as error:
                    delay = backoff.next()
                    log.warning("%s; again in %.1f s", error.message, delay)
                    await asyncio.sleep(delay)

    async def run(self) -> None:
        """Run all until cancelled. The informers are started by the caller; nothing is decided before they are full."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ensure_objects())
            await self.cluster.wait_synced()
            group.create_task(self.collector.run())
            for controller in self.controllers:
                group.create_task(controller.run())


def build(cluster: CachedClient, home: Home, server: str, ca: bytes) -> Assembly:
    """Build all. `server`: the API's URL for clients, `ca`: its authority as PEM."""
    claims, cdi, kubevirt = ClaimController(cluster, home), CDIController(cluster, server), KubeVirtController(cluster)
    controllers = (
        VirtualMachineController(cluster).controller(),
        VirtualMachineInstanceController(cluster).controller(),
        ReplicaSetController(cluster).controller(),
        PoolController(cluster).controller(),
        claims.controller(),
        VolumeController(cluster).controller(),
        DataVolumeController(cluster).controller(),
        UploadController(cluster).controller(),
        *cdi.controllers(),
        kubevirt.controller(),
        NamespaceController(cluster).controller(),
        ServiceAccountController(cluster, ca).controller(),
        NodeLifecycleController(cluster).controller(),
        PodCollector(cluster).controller(),
        ResourceQuotaController(cluster).controller(),
        ClusterRoleAggregationController(cluster).controller(),
        DisruptionController(cluster).controller(),
    )
    return Assembly(cluster, controllers, GarbageCollector(cluster), claims, cdi, kubevirt, CommonTypes(cluster))
