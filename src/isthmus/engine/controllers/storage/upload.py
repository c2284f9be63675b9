"""Claims that wait for an upload, a DataVolume's or a bare one (`virtctl image-upload pvc`): ready once they are bound.

The stream itself goes from the API server to the agent of the claim's node, which sets storage.pod.phase to Succeeded.
"""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import PVCS
from isthmus.engine.controllers.storage.datavolumeplan import POD_PHASE, POD_READY, UPLOAD_TARGET
from isthmus.machinery.fieldtree import at


def wanted_annotations(claim: Object) -> dict[str, str]:
    """The annotations to write, {} if there is nothing to say."""
    annotations = claim["metadata"].get("annotations") or {}
    if UPLOAD_TARGET not in annotations or claim["metadata"].get("deletionTimestamp"):
        return {}
    if annotations.get(POD_PHASE) == "Succeeded":
        wanted = {POD_READY: "false"}
    elif at(claim, "status.phase") == "Bound":
        wanted = {POD_READY: "true", POD_PHASE: "Running"}
    else:
        wanted = {POD_READY: "false", POD_PHASE: "Pending"}
    return wanted if not wanted.items() <= annotations.items() else {}


class UploadController:
    """Reconciles one claim at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.claims = cluster.informer(PVCS)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("upload-controller", self.reconcile)
        controller.watch(self.claims)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Say whether the claim takes an upload."""
        claim = self.claims.get(*key)
        if claim is not None and (annotations := wanted_annotations(claim)):
            revision = claim["metadata"]["resourceVersion"]
            body = {"metadata": {"resourceVersion": revision, "annotations": annotations}}
            await self.cluster.patch(PVCS, claim, body)
        return None
