"""The node agent: composes the parts of this package and runs them until it is told to stop.

At start it finds QEMU and the networks, takes over the machines that run, and only then reconciles. When it stops, or
is killed, machines and workers run on.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isthmus.client import connect, resources
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import key_of
from isthmus.client.workqueue import WorkQueue
from isthmus.engine.node import capacity
from isthmus.engine.node.api import Api
from isthmus.engine.node.image.store import ImageStore
from isthmus.engine.node.launchers import launcher_key
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.net.network import Network
from isthmus.engine.node.persistentvolumes import PersistentVolumeReconciler
from isthmus.engine.node.pods import PodReconciler
from isthmus.engine.node.registration import Registration
from isthmus.engine.node.vm.host import find_host
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vmis import VmiReconciler
from isthmus.lib.home import Home

log = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]

VMI_WORKERS = 4
COLLECT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What distinguishes one agent from another."""

    home: Home
    node: str
    kubeconfig: Path
    address: str = ""

    @property
    def directory(self) -> Path:
        """The node's own."""
        return self.home.node(self.node)

    @property
    def socket(self) -> Path:
        """Where the API server finds us."""
        return self.home.run / f"agent-{self.node}.sock"


def launcher_keys(pod: Object) -> list[Key]:
    """The VMI to reconcile when a Pod changes."""
    key = launcher_key(pod)
    return [key] if key else []


def other_keys(pod: Object) -> list[Key]:
    """The Pods that are no launchers."""
    return [] if launcher_key(pod) else [key_of(pod)]


def ours(volume: Object, directory: Path) -> list[Key]:
    """PersistentVolumes whose path begins in this node's directory."""
    path = ((volume.get("spec") or {}).get("local") or {}).get("path") or ""
    return [key_of(volume)] if path.startswith(str(directory)) else []


class Agent:
    """One node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = connect.open_client(settings.kubeconfig, f"isthmus-agent/{settings.node}")
        self._cached = CachedClient(self._client, "virt-handler")
        self._network = Network(settings.directory / "net", settings.node)

    async def run(self) -> None:
        """Until cancelled."""
        settings = self._settings
        for directory in (settings.directory, settings.home.run):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        host = await find_host(settings.home.run)
        log.info("QEMU %s, accelerator %s", ".".join(map(str, host.version)), host.accelerator)
        address = settings.address or capacity.find_address()
        registration = Registration(self._client, settings.node, address, host, settings.directory)
        await self._network.start()
        queue = WorkQueue[Key]()  # machines and jobs put VMIs there, too
        machines = Machines(settings.directory / "vms", settings.node, host, queue.add)
        images = ImageStore(settings.home.images)
        reconciler = VmiReconciler(self._cached, settings.node, address, machines, self._network, images)
        reconciler.enqueue = queue.add
        vmis = self._build_vmi_controller(reconciler, queue)
        await self._adopt_networks(machines.adopt())
        environment = {"KUBECONFIG": str(settings.kubeconfig), "ISTHMUS_HOME": str(settings.home.root)}
        environment["ISTHMUS_ACCELERATOR"] = host.accelerator
        pods = PodReconciler(self._cached, settings.node, address, settings.directory / "pods", environment)
        api = Api(self._cached, settings.node, machines, pods)
        others = [self._build_pod_controller(pods), self._build_volume_controller()]
        self._cached.start()
        runner = await api.serve(settings.socket)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(registration.run())
                await self._cached.wait_synced()
                for key in machines.known():
                    queue.add(key)
                for controller in (vmis, *others):
                    group.create_task(controller.run())
                group.create_task(self._collect(pods, reconciler, images))
        finally:
            await api.close()
            await runner.cleanup()
            await reconciler.close()
            await machines.close()
            await self._network.stop()
            await self._cached.stop()
            await self._client.close()

    async def _adopt_networks(self, uids: set[str]) -> None:
        """One machine whose network is broken must not keep the others from being looked after."""
        try:
            await self._network.adopt(uids)
        except NetworkError as error:
            log.error("networks of machines that run could not all be taken over: %s", error)

    async def _collect(self, pods: PodReconciler, vmis: VmiReconciler, images: ImageStore) -> None:
        while True:
            await images.collect()
            await pods.collect()
            await vmis.collect()
            try:
                await self._network.tidy()
            except NetworkError as error:
                log.warning("bridges that nobody needs could not be removed: %s", error)
            await asyncio.sleep(COLLECT_SECONDS)

    def _build_vmi_controller(self, reconciler: VmiReconciler, queue: WorkQueue[Key]) -> Controller:
        controller = Controller("agent-vmis", reconciler.reconcile, queue, workers=VMI_WORKERS)
        controller.watch(self._cached.informer(resources.VMIS))
        controller.watch(self._cached.informer(resources.PODS), launcher_keys)
        controller.watch(self._cached.informer(resources.VMS))
        self._cached.informer(resources.PVCS)
        return controller

    def _build_pod_controller(self, pods: PodReconciler) -> Controller:
        controller = Controller("agent-pods", pods.reconcile, workers=2)
        controller.watch(self._cached.informer(resources.PODS), other_keys)
        return controller

    def _build_volume_controller(self) -> Controller:
        directory = self._settings.directory / "volumes"
        volumes = PersistentVolumeReconciler(self._cached, directory)
        controller = Controller("agent-volumes", volumes.reconcile)
        controller.watch(self._cached.informer(resources.PVS), partial(ours, directory=directory))
        return controller
