"""DataVolume -> a claim, and a worker Pod that fills it; phase, conditions and progress on the way.

`datavolumeplan` builds the objects, `datavolumestatus` the status; this module reads and writes. An upload has no
worker: `upload` says when the claim takes it. A worker that fails is started again, later each time, its last words in
the condition Running.
"""

import time

from isthmus.client import paths
from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import DATASOURCES, DATAVOLUMES, NODES, PODS, PVCS, PVS, STORAGECLASSES
from isthmus.engine.controllers import ownership
from isthmus.engine.controllers.storage import binding, datavolumeplan, datavolumestatus
from isthmus.engine.controllers.storage.datavolumeplan import Source, SourceError
from isthmus.engine.controllers.storage.datavolumestatus import View, annotation
from isthmus.lib import clock
from isthmus.machinery import mergepatch, owners
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at

LOOK_SECONDS = 2.0
WAIT_SECONDS = 5.0


class DataVolumeController:
    """Reconciles one DataVolume at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.volumes = cluster.informer(DATAVOLUMES)
        for resource in (PVCS, PVS, PODS, DATASOURCES, NODES, STORAGECLASSES):
            cluster.informer(resource)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("datavolume-controller", self.reconcile, workers=4)
        controller.watch(self.volumes)
        for resource in (PVCS, PODS):
            controller.watch(self.cluster.informer(resource), lambda obj: ownership.keys(obj, "DataVolume"))
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Bring one DataVolume a step nearer to Succeeded."""
        volume = self.volumes.get(*key)
        if volume is None or volume["metadata"].get("deletionTimestamp"):
            return None
        if at(volume, "status.phase") == "Succeeded":
            return await self._clean_up(volume)
        claim = self.cluster.get(PVCS, *key)
        if claim is not None and not owners.is_controlled_by(claim, volume):
            return await self._adopt(volume, claim)
        try:
            source = self._source(volume)
            return await self._fill(volume, source, claim)
        except SourceError as error:
            await self._write(View(volume, claim=claim, problem=(error.reason, str(error))))
            await self.cluster.recorder.warning(volume, error.reason, str(error))
            return WAIT_SECONDS

    def _source(self, volume: Object) -> Source:
        reference = volume["spec"].get("sourceRef") or {}
        namespace = reference.get("namespace") or volume["metadata"]["namespace"]
        data_source = self._data_source(namespace, reference["name"]) if reference else None
        return datavolumeplan.find_source(volume, data_source)

    def _data_source(self, namespace: str, name: str) -> Object | None:
        """A DataSource; one that points to another is followed once."""
        found = self.cluster.get(DATASOURCES, namespace, name)
        further = at(found, "spec.source.dataSource")
        if not further:
            return found
        return self.cluster.get(DATASOURCES, further.get("namespace") or namespace, further["name"])

    async def _adopt(self, volume: Object, claim: Object) -> float | None:
        """A claim of that name is somebody else's, unless it was given to us."""
        if datavolumestatus.is_adopted(volume, claim):
            if owners.controller_of(claim) is None:
                await self._own(volume, claim)
            blank = Source("blank", {})
            await self._write(View(volume, blank, claim))
            return None
        message = f"PVC {claim['metadata']['name']} exists already and does not belong to this DataVolume"
        await self._write(View(volume, claim=None, problem=("ErrClaimNotValid", message)))
        await self.cluster.recorder.warning(volume, "ErrClaimNotValid", message)
        return WAIT_SECONDS

    async def _own(self, volume: Object, claim: Object) -> None:
        """The claim goes with the DataVolume from now on."""
        metadata = claim["metadata"]
        references = [*(metadata.get("ownerReferences") or []), owners.reference(volume)]
        guarded = {"resourceVersion": metadata["resourceVersion"], "ownerReferences": references}
        await self.cluster.patch(PVCS, claim, {"metadata": guarded})

    async def _fill(self, volume: Object, source: Source, claim: Object | None) -> float | None:
        origin = self._origin(source)
        if claim is None:
            claim = await self._create_claim(volume, source, origin)
        classes = {c["metadata"]["name"]: c for c in self.cluster.informer(STORAGECLASSES).list()}
        waits = datavolumestatus.waits_for_consumer(claim, classes, self.cluster.informer(NODES).list())
        view = View(volume, source, claim, waits_for_consumer=waits)
        if not view.bound or not source.has_worker:
            await self._write(view)
            return None
        return await self._work(view, source, claim, origin)

    def _origin(self, source: Source) -> Object | None:
        if source.kind != "pvc":
            return None
        namespace, name = source.fields["namespace"], source.fields["name"]
        origin = self.cluster.get(PVCS, namespace, name)
        if origin is None:
            raise SourceError("CloneSourceNotFound", f"the PVC {namespace}/{name} to clone does not exist")
        return origin

    async def _create_claim(self, volume: Object, source: Source, origin: Object | None) -> Object:
        node = self._node_of(origin) if origin is not None else None
        body = datavolumeplan.build_claim(volume, source, origin, node)
        if origin is not None and not datavolumeplan.clone_fits(origin, body):
            raise SourceError("CloneSizeTooSmall", "the target is smaller than the PVC that it shall be a clone of")
        return await self.cluster.create(PVCS, body)

    def _node_of(self, claim: Object) -> str | None:
        """The node on which a local claim lies."""
        persistent = self.cluster.get(PVS, "", claim["spec"].get("volumeName") or "")
        terms = at(persistent, "spec.nodeAffinity.required.nodeSelectorTerms") or []
        hosts = {v for t in terms for e in t.get("matchExpressions") or [] for v in e.get("values") or []}
        for node in self.cluster.informer(NODES).list():
            if (node["metadata"].get("labels") or {}).get(binding.HOSTNAME) in hosts:
                return str(node["metadata"]["name"])
        return None

    # The worker

    async def _work(self, view: View, source: Source, claim: Object, origin: Object | None) -> float | None:
        volume = view.volume
        namespace = volume["metadata"]["namespace"]
        pod = self.cluster.get(PODS, namespace, datavolumeplan.worker_name(volume, source))
        if pod is None:
            pod = await self._start_worker(volume, source, origin)
        phase = at(pod, "status.phase") or "Pending"
        progress = await self._progress(pod) if phase == "Running" else None
        restarts = int(annotation(claim, datavolumeplan.POD_RESTARTS) or 0)
        if annotation(claim, datavolumeplan.POD_PHASE) != phase:
            wanted = {datavolumeplan.POD_PHASE: phase}
            if phase == "Failed":
                wanted[datavolumeplan.POD_RESTARTS] = str(restarts + 1)
            claim = await self.cluster.patch(PVCS, claim, {"metadata": {"annotations": wanted}})
        await self._write(View(volume, source, claim, pod, progress=progress))
        if phase == "Failed":
            return await self._retry(volume, pod, restarts)
        return LOOK_SECONDS if phase == "Running" else None

    async def _start_worker(self, volume: Object, source: Source, origin: Object | None) -> Object:
        source_claim = await self._readable(volume, origin) if origin is not None else ""
        body = datavolumeplan.build_worker(volume, source, source_claim)
        return await self.cluster.create(PODS, body)

    async def _readable(self, volume: Object, origin: Object) -> str:
        """The claim under which the worker reads the origin. Raises SourceError while that is in use."""
        namespace, name = origin["metadata"]["namespace"], origin["metadata"]["name"]
        users = [p for p in self.cluster.informer(PODS).list(namespace) if not _is_worker(p)]
        if binding.is_used(origin, users):
            raise SourceError("CloneSourceInUse", f"PVC {namespace}/{name} is in use; the clone starts when it is free")
        persistent = self.cluster.get(PVS, "", origin["spec"].get("volumeName") or "")
        if persistent is None:
            raise SourceError("CloneSourceNotBound", f"PVC {namespace}/{name} has no volume yet")
        if namespace == volume["metadata"]["namespace"]:
            return str(name)
        alias, claim = datavolumeplan.build_alias(volume, persistent)
        await self.cluster.create_if_absent(PVS, alias)
        await self.cluster.create_if_absent(PVCS, claim)
        return datavolumeplan.alias_name(volume)

    async def _progress(self, pod: Object) -> str | None:
        path = paths.object_path(PODS, pod, "log")
        try:
            return datavolumestatus.read_progress(await self.cluster.client.call("GET", path, query={"tailLines": "1"}))
        except StatusError:
            return None  # a courtesy

    async def _retry(self, volume: Object, pod: Object, restarts: int) -> float | None:
        """Start a failed worker again after a while: by removing its Pod, which the next call makes anew."""
        ends = [at(s, "state.terminated.finishedAt") for s in at(pod, "status.containerStatuses") or []]
        ended = max((clock.parse(e) for e in ends if e), default=time.time())
        left = ended + datavolumestatus.retry_seconds(restarts) - time.time()
        if left > 0:
            return left
        await self.cluster.recorder.warning(volume, "ErrTransferFailed", datavolumestatus.worker_message(pod))
        await self.cluster.delete(PODS, pod, options={"gracePeriodSeconds": 0})
        return 1.0

    async def _clean_up(self, volume: Object) -> float | None:
        """After success: the worker's Pod and a clone's alias go."""
        namespace = volume["metadata"]["namespace"]
        if annotation(volume, datavolumeplan.RETAIN_POD) != "true":
            for prefix in ("importer", "clone"):
                pod = self.cluster.get(PODS, namespace, f"{prefix}-{volume['metadata']['name']}"[:253])
                if pod is not None and owners.is_controlled_by(pod, volume):
                    await self.cluster.delete(PODS, pod)
        alias = datavolumeplan.alias_name(volume)
        if (claim := self.cluster.get(PVCS, namespace, alias)) is not None:
            await self.cluster.delete(PVCS, claim)
        if (persistent := self.cluster.get(PVS, "", alias)) is not None:
            await self.cluster.delete(PVS, persistent)
        return None

    async def _write(self, view: View) -> None:
        old = view.volume.get("status") or {}
        status = datavolumestatus.build_status(view, clock.timestamp())
        if patch := mergepatch.diff(old, status):
            await self.cluster.patch(DATAVOLUMES, view.volume, {"status": patch}, subresource="status")
        if status["phase"] == "Succeeded" and old.get("phase") != "Succeeded":
            message = f"Successfully filled PVC {view.volume['metadata']['name']}"
            await self.cluster.recorder.normal(view.volume, "Succeeded", message)


def _is_worker(pod: Object) -> bool:
    containers = pod["spec"].get("containers") or [{}]
    return str(containers[0].get("image", "")).split(":")[0] == datavolumeplan.WORKER_IMAGE
