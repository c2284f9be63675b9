"""AwaitingUpload: a claim of the file's size that takes CDI's upload; whoever made the import streams the file into it.

It is scratch: the workers read it like any file, as often as they need to, and it goes when the disks are converted.
"""

from typing import Any

from isthmus.client import resources
from isthmus.importer.map import names
from isthmus.importer.phases.phase import Import, Next

Object = dict[str, Any]
TARGET, POD_PHASE = "cdi.kubevirt.io/storage.upload.target", "cdi.kubevirt.io/storage.pod.phase"
VERBATIM = "isthmus.dev/upload-verbatim"  # the bytes as they come: this is no disk image to be unpacked or converted


async def step(work: Import) -> Next:
    """Make the claim, wait until it is filled."""
    claim = await work.ensure(resources.PVCS, build_claim(work))
    if work.status.get("uploadClaimName") != claim["metadata"]["name"]:
        await work.patch_status({"uploadClaimName": claim["metadata"]["name"]})
    done = (claim["metadata"].get("annotations") or {}).get(POD_PHASE) == "Succeeded"
    return Next.ONWARD if done else Next.STAY


def build_claim(work: Import) -> Object:
    """The claim, exactly as large as the file."""
    size = int(work.spec["source"]["upload"]["size"])
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": str(size)}},
    }
    if storage_class := work.spec.get("storageClassName"):
        spec["storageClassName"] = storage_class
    name = names.to_label(f"{work.name}-upload")
    metadata = {"name": name, "annotations": {TARGET: "", VERBATIM: "true"}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


async def clean_up(work: Import) -> None:
    """The file was read for the last time."""
    if claim := work.status.get("uploadClaimName"):
        await work.delete(resources.PVCS, claim)
