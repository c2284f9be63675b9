"""Writes into each ClusterRole with an `aggregationRule` the rules that it collects, for people and tools to read.

The authorizer collects by itself, so that what a role grants never waits for this. Which roles are meant and in what
order their rules stand is `machinery.rbac`'s.
"""

from isthmus.client.api import Object
from isthmus.client.cached import CachedClient
from isthmus.client.controller import Controller
from isthmus.client.informer import Key, key_of
from isthmus.client.resources import CLUSTERROLES
from isthmus.machinery import rbac


class ClusterRoleAggregationController:
    """Reconciles one aggregated role at a time."""

    def __init__(self, cluster: CachedClient) -> None:
        self.cluster = cluster
        self.roles = cluster.informer(CLUSTERROLES)

    def controller(self) -> Controller:
        """The loop around `reconcile`."""
        controller = Controller("clusterrole-aggregation-controller", self.reconcile)
        controller.watch(self.roles, self._aggregated)
        return controller

    def _aggregated(self, changed: Object) -> list[Key]:
        """The roles that may collect a changed one: all that collect, and itself."""
        return [key_of(role) for role in (*self.roles.list(), changed) if role.get("aggregationRule")]

    async def reconcile(self, key: Key) -> float | None:
        """Write the rules if they are others than they should be."""
        role = self.roles.get(*key)
        if role is None or not role.get("aggregationRule") or role["metadata"].get("deletionTimestamp"):
            return None
        wanted = rbac.aggregate(role, self.roles.list())
        if wanted != (role.get("rules") or []):
            guard = {"resourceVersion": role["metadata"]["resourceVersion"]}
            await self.cluster.patch(CLUSTERROLES, role, {"metadata": guard, "rules": wanted})
        return None
