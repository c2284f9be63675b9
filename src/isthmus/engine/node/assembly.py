"""Puts the parts of a node agent together. What they do begins in `agent`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isthmus.client import connect, resources
from isthmus.client.api import Client
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import key_of
from isthmus.client.workqueue import WorkQueue
from isthmus.engine.node import capacity
from isthmus.engine.node.api import Api
from isthmus.engine.node.image.store import ImageStore
from isthmus.engine.node.launchers import launcher_key
from isthmus.engine.node.net.network import Network
from isthmus.engine.node.persistentvolumes import PersistentVolumeReconciler
from isthmus.engine.node.pods import PodReconciler
from isthmus.engine.node.registration import Registration
from isthmus.engine.node.vm.machine import Host
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vmi.assembly import Vmis, build_vmis
from isthmus.engine.node.vmi.reporter import Node
from isthmus.lib.home import Home

Object = dict[str, Any]
Key = tuple[str, str]

VMI_WORKERS, POD_WORKERS = 4, 2


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

    def environment(self, host: Host) -> dict[str, str]:
        """What every worker is told: where the API is, who it is there, and how fast machines are."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "ISTHMUS_HOME": str(self.home.root),
            "ISTHMUS_ACCELERATOR": host.accelerator,
        }


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is made of: built, but not running. Nothing outside was touched yet."""

    client: Client
    cached: CachedClient
    registration: Registration
    network: Network
    images: ImageStore
    machines: Machines
    vmis: Vmis
    pods: PodReconciler
    api: Api
    queue: WorkQueue[Key]  # VMIs to look at; machines and jobs put them there, too
    controllers: tuple[Controller, ...]


def build(settings: Settings, host: Host) -> Parts:
    """Put the parts of one agent together."""
    client = connect.open_client(settings.kubeconfig, f"isthmus-agent/{settings.node}")
    # The Node authorizer lets an agent follow its own Pods, no others.
    cached = CachedClient(client, "virt-handler", {resources.PODS: f"spec.nodeName={settings.node}"})
    node = Node(settings.node, settings.address or capacity.find_address())
    directory, queue = settings.directory, WorkQueue[Key]()
    network, images = Network(directory / "net", node.name), ImageStore(settings.home.images)
    machines = Machines(directory / "vms", node.name, host, queue.add)
    vmis = build_vmis(node, cached, machines, network, images, queue.add)
    pods = PodReconciler(cached, node.name, node.address, directory / "pods", settings.environment(host))
    controllers = (
        _build_vmi_controller(cached, vmis, queue),
        _build_pod_controller(cached, pods),
        _build_volume_controller(cached, directory),
    )
    registration = Registration(client, node.name, node.address, host, directory)
    api = Api(cached, machines, pods)
    return Parts(client, cached, registration, network, images, machines, vmis, pods, api, queue, controllers)


def _build_vmi_controller(cached: CachedClient, vmis: Vmis, queue: WorkQueue[Key]) -> Controller:
    controller = Controller("agent-vmis", vmis.reconciler.reconcile, queue, workers=VMI_WORKERS)
    controller.watch(cached.informer(resources.VMIS))
    controller.watch(cached.informer(resources.PODS), launcher_keys)
    controller.watch(cached.informer(resources.VMS))
    cached.informer(resources.PVCS)
    return controller


def _build_pod_controller(cached: CachedClient, pods: PodReconciler) -> Controller:
    controller = Controller("agent-pods", pods.reconcile, workers=POD_WORKERS)
    controller.watch(cached.informer(resources.PODS), other_keys)
    return controller


def _build_volume_controller(cached: CachedClient, node_directory: Path) -> Controller:
    directory = node_directory / "volumes"
    controller = Controller("agent-volumes", PersistentVolumeReconciler(cached, directory).reconcile)
    controller.watch(cached.informer(resources.PVS), partial(ours, directory=directory))
    return controller


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
