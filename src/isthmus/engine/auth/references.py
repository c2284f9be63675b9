"""Which Secrets, ConfigMaps and service accounts a Pod, or the VMI that a launcher Pod stands for, refers to. Pure.

Where each reference stands in a spec is a row of a table; `[]` in a path means each item of a list.
Sources: kubernetes, pkg/api/pod/util.go (VisitPodSecretNames, VisitPodConfigmapNames); KubeVirt 1.9, VMI spec.
Called by `nodegraph` (what a node may read) and `noderestriction` (what a node may not bring about).
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

Object = dict[str, Any]
Reference = tuple[str, str]  # Kind.resource, name; of the referring object's own namespace
SECRETS, CONFIGMAPS, ACCOUNTS = "secrets", "configmaps", "serviceaccounts"

_VOLUMES = (
    (SECRETS, "secret.secretName"),
    (SECRETS, "projected.sources[].secret.name"),
    (SECRETS, "azureFile.secretName"),
    (SECRETS, "cephfs.secretRef.name"),
    (SECRETS, "cinder.secretRef.name"),
    (SECRETS, "csi.nodePublishSecretRef.name"),
    (SECRETS, "flexVolume.secretRef.name"),
    (SECRETS, "iscsi.secretRef.name"),
    (SECRETS, "rbd.secretRef.name"),
    (SECRETS, "scaleIO.secretRef.name"),
    (SECRETS, "storageos.secretRef.name"),
    (CONFIGMAPS, "configMap.name"),
    (CONFIGMAPS, "projected.sources[].configMap.name"),
)
_CONTAINERS = (
    (SECRETS, "envFrom[].secretRef.name"),
    (SECRETS, "env[].valueFrom.secretKeyRef.name"),
    (CONFIGMAPS, "envFrom[].configMapRef.name"),
    (CONFIGMAPS, "env[].valueFrom.configMapKeyRef.name"),
)
_MACHINE_VOLUMES = (
    (SECRETS, "secret.secretName"),
    (SECRETS, "cloudInitNoCloud.secretRef.name"),
    (SECRETS, "cloudInitNoCloud.networkDataSecretRef.name"),
    (SECRETS, "cloudInitConfigDrive.secretRef.name"),
    (SECRETS, "cloudInitConfigDrive.networkDataSecretRef.name"),
    (SECRETS, "sysprep.secret.name"),
    (SECRETS, "containerDisk.imagePullSecret"),
    (CONFIGMAPS, "configMap.name"),
    (CONFIGMAPS, "sysprep.configMap.name"),
    (ACCOUNTS, "serviceAccount.serviceAccountName"),
)
POD = (
    (ACCOUNTS, "serviceAccountName"),
    (SECRETS, "imagePullSecrets[].name"),
    *((kind, f"volumes[].{path}") for kind, path in _VOLUMES),
    *(
        (kind, f"{containers}[].{path}")
        for containers in ("containers", "initContainers", "ephemeralContainers")
        for kind, path in _CONTAINERS
    ),
)
MACHINE = (
    (SECRETS, "accessCredentials[].sshPublicKey.source.secret.secretName"),
    (SECRETS, "accessCredentials[].userPassword.source.secret.secretName"),
    (SECRETS, "domain.firmware.kernelBoot.container.imagePullSecret"),
    *((kind, f"volumes[].{path}") for kind, path in _MACHINE_VOLUMES),
)


def of_pod(pod: Object) -> frozenset[Reference]:
    """What a Pod refers to."""
    return _collect(pod.get("spec"), POD)


def of_machine(vmi: Object) -> frozenset[Reference]:
    """What a VirtualMachineInstance refers to."""
    return _collect(vmi.get("spec"), MACHINE)


def _collect(spec: Any, table: tuple[Reference, ...]) -> frozenset[Reference]:
    return frozenset((kind, name) for kind, path in table for name in _find(spec, _steps(path)))


@cache
def _steps(path: str) -> tuple[str, ...]:
    """`a[].b` as the steps a, [], b."""
    return tuple(path.replace("[]", ".[]").split("."))


def _find(value: Any, steps: tuple[str, ...]) -> Iterator[str]:
    for number, step in enumerate(steps):
        if step == "[]":
            for item in value if isinstance(value, list) else ():
                yield from _find(item, steps[number + 1 :])
            return
        value = value.get(step) if isinstance(value, dict) else None
        if not value:
            return
    if isinstance(value, str):
        yield value
