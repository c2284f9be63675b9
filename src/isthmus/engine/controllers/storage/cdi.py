"""What clients expect of CDI beside DataVolumes: its configuration, a profile for each class, DataSources resolved."""

from isthmus.client.api import Object, Resource
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import CDICONFIGS, CDIS, DATASOURCES, PVCS, STORAGECLASSES, STORAGEPROFILES
from isthmus.engine.controllers.storage import binding
from isthmus.lib import clock
from isthmus.machinery import conditions, mergepatch
from isthmus.machinery.fieldtree import at

API = "cdi.kubevirt.io/v1beta1"
VERSION = "v1.66.0"


def build_installation(now: str) -> Object:
    """The CDI object: deployed."""
    found: list[Object] = []
    for kind, value in (("Available", True), ("Progressing", False), ("Degraded", False)):
        found = conditions.put(found, conditions.build(kind, value, "DeployCompleted", "Deployment Completed"), now)
    version = {"operatorVersion": VERSION, "targetVersion": VERSION, "observedVersion": VERSION}
    return {
        "apiVersion": API,
        "kind": "CDI",
        "metadata": {"name": "cdi"},
        "spec": {},
        "status": {"phase": "Deployed", "conditions": found} | version,
    }


def build_config(server: str) -> Object:
    """The CDIConfig: uploads go to the API server itself; our volumes lose nothing to a filesystem."""
    status = {"uploadProxyURL": server, "filesystemOverhead": {"global": "0"}, "preallocation": False}
    return {"apiVersion": API, "kind": "CDIConfig", "metadata": {"name": "config"}, "spec": {}, "status": status}


def build_profile(storage_class: Object) -> Object:
    """The StorageProfile of a class: what a claim gets that does not say."""
    name = storage_class["metadata"]["name"]
    known = storage_class["provisioner"] == binding.PROVISIONER
    sets = [{"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}] if known else []
    status = {"provisioner": storage_class["provisioner"], "storageClass": name, "claimPropertySets": sets}
    return {
        "apiVersion": API,
        "kind": "StorageProfile",
        "metadata": {"name": name},
        "spec": {},
        "status": status | {"cloneStrategy": "copy", "dataImportCronSourceFormat": "pvc"},
    }


def data_source_status(source: Object, claim: Object | None, now: str) -> Object:
    """A DataSource is ready when what it points to is there and bound."""
    given = at(source, "spec.source") or {}
    old = source.get("status") or {}
    if "pvc" not in given:
        ready = conditions.build("Ready", False, "NoSource", "no source that is supported here is set")
    elif claim is None:
        ready = conditions.build("Ready", False, "NotFound", "the PVC does not exist")
    elif at(claim, "status.phase") != "Bound":
        ready = conditions.build("Ready", False, "Pending", "the PVC is not bound")
    else:
        ready = conditions.build("Ready", True, "Ready", "DataSource is ready to be consumed")
    return old | {"source": given, "conditions": conditions.put(old.get("conditions"), ready, now)}


class CDIController:
    """Writes the fixed objects at the start, then keeps profiles and DataSources current."""

    def __init__(self, cluster: CachedClient, server: str) -> None:
        self.cluster = cluster
        self.server = server
        self.sources = cluster.informer(DATASOURCES)
        self.claims = cluster.informer(PVCS)
        self.classes = cluster.informer(STORAGECLASSES)

    def controllers(self) -> list[Controller]:
        """The loops: one for StorageProfiles, one for DataSources."""
        profiles = Controller("storageprofile-controller", self.reconcile_profile)
        profiles.watch(self.classes)
        sources = Controller("datasource-controller", self.reconcile_source)
        sources.watch(self.sources)
        sources.watch(self.claims, self._sources_of)
        return [profiles, sources]

    def _sources_of(self, claim: Object) -> list[Key]:
        name = claim["metadata"]["name"]
        named = (s for s in self.sources.list() if at(s, "spec.source.pvc.name") == name)
        return [(s["metadata"]["namespace"], s["metadata"]["name"]) for s in named]

    async def ensure(self) -> None:
        """Create what lacks; the URL of the server may have changed since the last start."""
        await self._ensure(CDIS, build_installation(clock.timestamp()))
        await self._ensure(CDICONFIGS, build_config(self.server))

    async def _ensure(self, resource: Resource, body: Object) -> None:
        found = await self.cluster.create_if_absent(resource, body)
        found = found or await self.cluster.client.get(resource, body["metadata"]["name"])
        status = (found.get("status") or {}) | {k: v for k, v in body["status"].items() if k != "conditions"}
        status.setdefault("conditions", body["status"].get("conditions", []))
        if patch := mergepatch.diff(found.get("status") or {}, status):
            await self.cluster.patch_status(resource, found, patch)

    async def reconcile_profile(self, key: Key) -> float | None:
        """One profile a class; it goes with the class."""
        storage_class = self.classes.get(*key)
        if storage_class is not None:
            await self._ensure(STORAGEPROFILES, build_profile(storage_class))
        return None

    async def reconcile_source(self, key: Key) -> float | None:
        """Mirror a DataSource's source and say whether it can be used."""
        source = self.sources.get(*key)
        if source is None:
            return None
        reference = at(source, "spec.source.pvc") or {}
        claim = self.claims.get(reference.get("namespace") or key[0], reference.get("name") or "")
        status = data_source_status(source, claim, clock.timestamp())
        if patch := mergepatch.diff(source.get("status") or {}, status):
            await self.cluster.patch_status(DATASOURCES, source, patch)
        return None
