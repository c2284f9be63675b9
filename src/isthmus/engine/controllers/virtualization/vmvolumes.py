"""The DataVolumes of a VM: found, and created from its templates when it is time. Called by `vm`."""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.resources import DATASOURCES, DATAVOLUMES, PVCS
from isthmus.engine.controllers.virtualization import vmstatus, vmtemplate
from isthmus.machinery.errors import StatusError
from isthmus.machinery.fieldtree import at


class VmVolumes:
    """Reads claims and DataVolumes, creates DataVolumes."""

    def __init__(self, cluster: CachedClient) -> None:
        self._cluster = cluster
        cluster.informer(DATASOURCES)

    def claims(self, vm: Object) -> dict[str, Object | None]:
        """The claims that the VM names, by their names."""
        namespace = vm["metadata"]["namespace"]
        names = vmtemplate.claim_names(at(vm, "spec.template.spec") or {})
        return {name: self._cluster.get(PVCS, namespace, name) for name in names}

    async def ensure(self, vm: Object, *, starting: bool) -> list[Object]:
        """The DataVolumes that the VM uses; those of its templates are created now, or when it starts if it says so."""
        namespace = vm["metadata"]["namespace"]
        deferred = (vm["metadata"].get("annotations") or {}).get(vmtemplate.IMMEDIATE_DATA_VOLUMES) == "false"
        found = {}
        for template in vm["spec"].get("dataVolumeTemplates") or []:
            name = template["metadata"]["name"]
            volume = self._cluster.get(DATAVOLUMES, namespace, name)
            if volume is None and (starting or not deferred):
                volume = await self._create(vm, template)
            if volume is not None:
                found[name] = volume
                if at(volume, "status.phase") == "Failed":
                    message = f"DataVolume {name} failed to import disk image"
                    await self._cluster.recorder.warning(vm, "FailedDataVolumeImport", message)
        for name in vmtemplate.data_volume_names(at(vm, "spec.template.spec") or {}):
            if name not in found and (volume := self._cluster.get(DATAVOLUMES, namespace, name)) is not None:
                found[name] = volume
        return list(found.values())

    async def _create(self, vm: Object, template: Object) -> Object:
        """A PVC of that name that is there already (its DataVolume was deleted) is adopted, not filled again."""
        body = vmtemplate.build_data_volume(vm, template)
        name = body["metadata"]["name"]
        try:
            volume = await self._cluster.create_if_absent(DATAVOLUMES, body)
        except StatusError as error:
            message = f"Error creating DataVolume {name}: {error.message}"
            await self._cluster.recorder.warning(vm, "FailedDataVolumeCreate", message)
            raise
        if volume is not None:
            await self._cluster.recorder.normal(vm, "SuccessfulDataVolumeCreate", f"Created DataVolume {name}")
        return volume or body


def volume_keys(vm: Object) -> list[str]:
    """The "namespace/name" of every claim and DataVolume that a VM uses: what it is indexed by."""
    namespace = vm["metadata"]["namespace"]
    templates = [t["metadata"]["name"] for t in vm["spec"].get("dataVolumeTemplates") or []]
    names = {*vmtemplate.claim_names(at(vm, "spec.template.spec") or {}), *templates}
    return [f"{namespace}/{name}" for name in names]


def ready(data_volumes: list[Object] | tuple[Object, ...]) -> bool:
    """Whether a machine can start with them."""
    return all(at(volume, "status.phase") in vmstatus.DATA_VOLUME_READY for volume in data_volumes)
