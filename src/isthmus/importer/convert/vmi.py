"""The VirtualMachineInstance that a conversion runs in: the appliance's kernel, the guest's disks, no network. Pure.

Its serial console is logged (KubeVirt's `guest-console-log` container), which is how the report is read back.
"""

from collections.abc import Sequence
from typing import Any

from isthmus.importer.appliance import image

CONVERSION_LABEL = "isthmus.dev/conversion"
MEMORY = "512Mi"
_DEVICES = {
    "interfaces": [],
    "autoattachPodInterface": False,
    "autoattachGraphicsDevice": False,
    "autoattachMemBalloon": False,
    "autoattachSerialConsole": True,
    "logSerialConsole": True,
}


def conversion_vmi(
    name: str,
    namespace: str,
    claims: Sequence[str],
    kernel_args: str,
    *,
    reference: str = image.REFERENCE,
    owner: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The VMI manifest that converts the guest on the PersistentVolumeClaims `claims`, in the order of its disks.

    `kernel_args` come from `plan.plan`; `owner` is the ownerReference of the import. The VMI halts when done (phase
    Succeeded); the caller sets a deadline.
    """
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {CONVERSION_LABEL: name}}
    if owner:
        metadata["ownerReferences"] = [owner]
    disks = [{"name": f"disk{number}", "disk": {"bus": "virtio"}} for number, _ in enumerate(claims)]
    volumes = [
        {"name": f"disk{number}", "persistentVolumeClaim": {"claimName": claim}} for number, claim in enumerate(claims)
    ]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "networks": [],
            "volumes": volumes,
            "domain": {
                "cpu": {"cores": 1},
                "memory": {"guest": MEMORY},
                "firmware": {"kernelBoot": {"kernelArgs": kernel_args, "container": _boot_files(reference)}},
                "devices": {"disks": disks, **_DEVICES},
            },
        },
    }


def _boot_files(reference: str) -> dict[str, Any]:
    return {
        "image": reference,
        "kernelPath": image.KERNEL_PATH,
        "initrdPath": image.INITRD_PATH,
        "imagePullPolicy": "IfNotPresent",
    }
