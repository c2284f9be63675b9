"""Every namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`, which Pods are given."""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key
from isthmus.client.resources import CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS
from isthmus.machinery.fieldtree import at

ROOT_CA = "kube-root-ca.crt"
DESCRIPTION = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints."


class ServiceAccountController:
    """Reconciles one namespace at a time. `ca`: the API server's authority, PEM."""

    def __init__(self, cluster: CachedClient, ca: bytes) -> None:
        self.cluster = cluster
        self.ca = ca.decode()
        self.namespaces = cluster.informer(NAMESPACES)
        self.accounts = cluster.informer(SERVICEACCOUNTS)
        self.configmaps = cluster.informer(CONFIGMAPS)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("serviceaccount-controller", self.reconcile)
        controller.watch(self.namespaces)
        controller.watch(self.accounts, lambda obj: _namespace_if(obj, "default"))
        controller.watch(self.configmaps, lambda obj: _namespace_if(obj, ROOT_CA))
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Create what lacks; a bundle that was changed is put right."""
        namespace = self.namespaces.get(*key)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return None
        name = key[1]
        if self.accounts.get(name, "default") is None:
            body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
            await self.cluster.create_if_absent(SERVICEACCOUNTS, body)
        bundle = self.configmaps.get(name, ROOT_CA)
        if bundle is None:
            await self.cluster.create_if_absent(CONFIGMAPS, self._bundle(name))
        elif at(bundle, "data") != {"ca.crt": self.ca}:
            await self.cluster.update(CONFIGMAPS, bundle | {"data": {"ca.crt": self.ca}})
        return None

    def _bundle(self, namespace: str) -> Object:
        metadata = {"name": ROOT_CA, "namespace": namespace, "annotations": {"kubernetes.io/description": DESCRIPTION}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": self.ca}}


def _namespace_if(obj: Object, name: str) -> list[Key]:
    return [("", obj["metadata"]["namespace"])] if obj["metadata"]["name"] == name else []
