"""Changes of a VM under its running guest: which reach the instance at once, which wait for a restart.

Called by `vm`. What changed is decided by `liveupdate`, against what was started (a ControllerRevision says that).
"""

import copy

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.resources import CONTROLLERREVISIONS, KUBEVIRTS, VMIS
from isthmus.engine.controllers.virtualization import instancetype, liveupdate, vmtemplate
from isthmus.machinery.fieldtree import at, put


class Rollout:
    """Compares a VM with its instance, and writes the difference to the instance."""

    def __init__(self, cluster: CachedClient) -> None:
        self._cluster = cluster
        cluster.informer(KUBEVIRTS)

    def compare(self, vmi: Object, expanded: instancetype.Expanded) -> liveupdate.LiveUpdate | None:
        """What has changed since the start; None if what was started is not known."""
        started = at(self._start_revision(vmi), "data.expandedTemplate.spec")
        if started is None:
            return None
        return liveupdate.compare(started, expanded.template.get("spec") or {}, vmi, strategy=self._strategy())

    async def propagate(self, vm: Object, vmi: Object, expanded: instancetype.Expanded) -> None:
        """Write to the instance what it can follow."""
        if vmi["metadata"].get("deletionTimestamp"):
            return
        update = self.compare(vmi, expanded)
        if update is None or update.restart_required:
            return
        annotations = vmi["metadata"].get("annotations") or {}
        wanted = vmtemplate.live_annotations(vm, annotations, self._start_revision(vmi))
        if not update.spec and annotations == wanted:
            return
        new = copy.deepcopy(vmi)
        new["metadata"]["annotations"] = wanted
        for path, value in update.spec.items():
            put(new["spec"], path, value)
        await self._cluster.update(VMIS, new)

    def _start_revision(self, vmi: Object) -> Object | None:
        name = at(vmi, "status.virtualMachineRevisionName")
        return self._cluster.get(CONTROLLERREVISIONS, vmi["metadata"]["namespace"], name) if name else None

    def _strategy(self) -> str:
        kubevirt = self._cluster.get(KUBEVIRTS, "kubevirt", "kubevirt")
        return at(kubevirt, "spec.configuration.vmRolloutStrategy") or "LiveUpdate"
