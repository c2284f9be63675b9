"""PersistentVolumeClaims of the class `local`: a volume is made on a node and bound; reclaimed when the claim is gone.

Also what any cluster does with claims: the default class for those that name none, binding to volumes that exist,
protection of claims in use, growth. `binding` decides; this module reads and writes. The data themselves are the
agent's: it makes a volume's directory, enlarges it, and removes it with the PersistentVolume.
"""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import NODES, PODS, PVCS, PVS, STORAGECLASSES
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.storage import binding
from isthmus.lib.home import Home
from isthmus.machinery import mergepatch, quantity
from isthmus.machinery.fieldtree import at

CLAIMS = "claims"  # index of Pods by the "namespace/name" of the PVCs that they use


class ClaimController:
    """Reconciles one PersistentVolumeClaim at a time."""

    def __init__(self, cluster: CachedClient, home: Home) -> None:
        self.cluster = cluster
        self.home = home
        self.claims = cluster.informer(PVCS)
        self.volumes = cluster.informer(PVS)
        self.nodes = cluster.informer(NODES)
        self.classes = cluster.informer(STORAGECLASSES)
        self.pods = cluster.informer(PODS)
        self.pods.add_indexer(CLAIMS, _claims_of)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("persistentvolumeclaim-controller", self.reconcile, workers=2)
        controller.watch(self.claims)
        controller.watch(self.volumes, _claim_keys)
        controller.watch(self.pods, lambda pod: [_key(c) for c in _claims_of(pod)])
        for informer in (self.classes, self.nodes):
            controller.watch(informer, lambda _: self._unbound())
        return controller

    def _unbound(self) -> list[Key]:
        return [
            (c["metadata"]["namespace"], c["metadata"]["name"])
            for c in self.claims.list()
            if at(c, "status.phase") != "Bound"
        ]

    async def ensure_class(self) -> None:
        """Create the default StorageClass; one that a person has changed stays."""
        await self.cluster.create_if_absent(STORAGECLASSES, binding.build_storage_class())

    async def reconcile(self, key: Key) -> float | None:
        """Bind one claim, or let it go."""
        claim = self.claims.get(*key)
        if claim is None:
            return None
        if claim["metadata"].get("deletionTimestamp"):
            await self._release(claim)
            return None
        claim = await ownership.ensure_finalizer(self.cluster, PVCS, claim, binding.PVC_PROTECTION)
        if at(claim, "status.phase") == "Bound":
            await self._grow(claim)
            return None
        claim = await self._with_class(claim)
        volume = binding.find_volume(claim, self.volumes.list()) or await self._provision(claim)
        if volume is not None:
            await self._bind(claim, volume)
        return None

    async def _release(self, claim: Object) -> None:
        users = self.pods.index(CLAIMS, f"{claim['metadata']['namespace']}/{claim['metadata']['name']}")
        if not binding.is_used(claim, users):
            await ownership.drop_finalizer(self.cluster, PVCS, claim, binding.PVC_PROTECTION)

    async def _with_class(self, claim: Object) -> Object:
        if claim["spec"].get("storageClassName") is not None or claim["spec"].get("volumeName"):
            return claim
        name = binding.default_class(self.classes.list())
        return claim if name is None else await self.cluster.patch(PVCS, claim, {"spec": {"storageClassName": name}})

    async def _provision(self, claim: Object) -> Object | None:
        if claim["spec"].get("volumeName"):
            return None  # it waits for a volume of that name
        storage_class = self.classes.get("", claim["spec"].get("storageClassName") or "")
        if storage_class is None or storage_class["provisioner"] != binding.PROVISIONER:
            return None
        name = binding.choose_node(claim, self.nodes.list())
        node = self.nodes.get("", name) if name else None
        if node is None:
            message = "waiting for first consumer to be created before binding"
            await self.cluster.recorder.normal(claim, "WaitForFirstConsumer", message)
            return None
        body = binding.build_volume(claim, storage_class, node, self.home.node(node["metadata"]["name"]) / "volumes")
        volume = await self.cluster.create_if_absent(PVS, body)
        message = f"Successfully provisioned volume {body['metadata']['name']}"
        await self.cluster.recorder.normal(claim, "ProvisioningSucceeded", message)
        return volume or await self.cluster.client.get(PVS, body["metadata"]["name"])

    async def _bind(self, claim: Object, volume: Object) -> None:
        """The volume's side first: it says which claim it belongs to before the claim says that it has it."""
        metadata = claim["metadata"]
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        if (volume["spec"].get("claimRef") or {}).get("uid") != metadata["uid"]:
            if (volume["spec"].get("claimRef") or {}).get("uid"):
                return  # another claim's
            revision = {"resourceVersion": volume["metadata"]["resourceVersion"]}
            volume = await self.cluster.patch(PVS, volume, {"metadata": revision, "spec": {"claimRef": reference}})
        name = volume["metadata"]["name"]
        if claim["spec"].get("volumeName") != name:
            annotations = {binding.BIND_COMPLETED: "yes", binding.BOUND_BY_CONTROLLER: "yes"}
            body = {"metadata": {"annotations": annotations}, "spec": {"volumeName": name}}
            claim = await self.cluster.patch(PVCS, claim, body)
        status = {
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes"),
            "capacity": {"storage": volume["spec"]["capacity"]["storage"]},
        }
        await self.cluster.patch(PVCS, claim, {"status": status}, subresource="status")

    async def _grow(self, claim: Object) -> None:
        """A claim that asks for more: the volume's capacity follows; the agent enlarges the image, which is sparse."""
        wanted = at(claim, "spec.resources.requests.storage")
        volume = self.volumes.get("", claim["spec"].get("volumeName") or "")
        if volume is None or not wanted or not binding.is_ours(volume):
            return
        if quantity.parse(wanted) > quantity.parse(volume["spec"]["capacity"]["storage"]):
            volume = await self.cluster.patch(PVS, volume, {"spec": {"capacity": {"storage": wanted}}})
        capacity = volume["spec"]["capacity"]["storage"]
        if at(claim, "status.capacity.storage") != capacity:
            await self.cluster.patch(PVCS, claim, {"status": {"capacity": {"storage": capacity}}}, subresource="status")


class VolumeController:
    """Reconciles one PersistentVolume at a time: its phase, and its end."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.volumes = cluster.informer(PVS)
        self.claims = cluster.informer(PVCS)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("persistentvolume-controller", self.reconcile, workers=2)
        controller.watch(self.volumes)
        controller.watch(self.claims, self._volumes_of)
        return controller

    def _volumes_of(self, claim: Object) -> list[Key]:
        return [("", name) for name in {claim["spec"].get("volumeName"), binding.volume_name(claim)} if name]

    async def reconcile(self, key: Key) -> float | None:
        """Show what the claim means for the volume; reclaim one that is released."""
        volume = self.volumes.get(*key)
        if volume is None:
            return None
        reference = volume["spec"].get("claimRef") or {}
        claim = self.claims.get(reference.get("namespace", ""), reference.get("name", ""))
        fate = binding.fate(volume, claim)
        if volume["metadata"].get("deletionTimestamp"):
            if fate.phase != "Bound":
                # The data go with the finalizer of the volume's agent, which stands for them.
                await ownership.drop_finalizer(self.cluster, PVS, volume, binding.PV_PROTECTION)
            return None
        if patch := mergepatch.diff(at(volume, "status.phase"), fate.phase):
            volume = await self.cluster.patch(PVS, volume, {"status": {"phase": patch}}, subresource="status")
        if fate.delete:
            await self.cluster.delete(PVS, volume)
        return None


def _claims_of(pod: Object) -> list[str]:
    names = (at(v, "persistentVolumeClaim.claimName") for v in pod["spec"].get("volumes") or [])
    return [f"{pod['metadata']['namespace']}/{name}" for name in names if name]


def _key(text: str) -> Key:
    namespace, _, name = text.partition("/")
    return namespace, name


def _claim_keys(volume: Object) -> list[Key]:
    reference = volume["spec"].get("claimRef")
    return [(reference["namespace"], reference["name"])] if reference else []
