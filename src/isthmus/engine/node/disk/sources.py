"""Read what volumes refer to in the API: Secrets, ConfigMaps, claims. The other half of `volumes`."""

import base64
import json
from typing import Any

from isthmus.client import paths, resources
from isthmus.client.api import Client, Object
from isthmus.engine.node.vm.errors import MachineError, SpecError
from isthmus.machinery.errors import StatusError


class NotReadyError(MachineError):
    """Something that the machine needs is not there yet: try again later."""

    reason = "VolumesNotReady"


class Sources:
    """Reads in one namespace, tokens for `pod`. Absent objects raise NotReadyError unless they are optional."""

    def __init__(self, client: Client, namespace: str, pod: Object | None = None) -> None:
        self._client = client
        self._namespace = namespace
        self._pod = pod

    async def _get(self, resource: Any, name: str, *, optional: bool = False) -> Object:
        try:
            return await self._client.get(resource, name, self._namespace if resource.namespaced else "")
        except StatusError as error:
            if error.code == 404 and optional:
                return {}
            if error.code == 404:
                raise NotReadyError(f"{resource.plural} {name!r} does not exist in {self._namespace!r}") from error
            raise

    async def secret(self, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """The data of a Secret, decoded."""
        found = await self._get(resources.SECRETS, name, optional=optional)
        return {key: base64.b64decode(value or "") for key, value in (found.get("data") or {}).items()}

    async def configmap(self, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """The data of a ConfigMap, texts and binaries."""
        found = await self._get(resources.CONFIGMAPS, name, optional=optional)
        texts = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        return texts | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}

    async def claim_volume(self, claim: str) -> Object:
        """The PersistentVolume that a claim is bound to."""
        pvc = await self._get(resources.PVCS, claim)
        name = (pvc.get("spec") or {}).get("volumeName")
        if not name:
            raise NotReadyError(f"the PersistentVolumeClaim {claim!r} is not bound to a volume yet")
        return await self._get(resources.PVS, name)

    async def token(self, service_account: str) -> dict[str, bytes]:
        """What a service account's volume holds: namespace, and a token that is as good as long as the Pod is there."""
        path = paths.resource_path(resources.SERVICEACCOUNTS, self._namespace, service_account, "token")
        spec: Object = {"expirationSeconds": 86400}
        if self._pod is not None:
            metadata = self._pod["metadata"]
            bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
            spec["boundObjectRef"] = bound
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = json.loads(await self._client.call("POST", path, body=body))
        return {"token": answer["status"]["token"].encode(), "namespace": self._namespace.encode()}

    async def feature_gates(self) -> set[str]:
        """The feature gates that are open: HostDisk by default, the others as a KubeVirt object says."""
        found = await self._client.list(resources.KUBEVIRTS)
        gates = {"HostDisk"}
        for item in found["items"]:
            developer = ((item.get("spec") or {}).get("configuration") or {}).get("developerConfiguration") or {}
            gates |= set(developer.get("featureGates") or ())
            gates -= set(developer.get("disabledFeatureGates") or ())
        return gates


def local_path(volume: Object) -> str:
    """Where a PersistentVolume lies on its node. Raises SpecError for volumes of another kind."""
    spec = volume.get("spec") or {}
    path = (spec.get("local") or spec.get("hostPath") or {}).get("path")
    if not path:
        raise SpecError(
            f"persistentvolumes/{volume['metadata']['name']}", "is no local volume; this node has no other kind"
        )
    return str(path)
