"""What aggregated ClusterRoles show, with the roles that every cluster has."""

import pytest

from isthmus.engine.auth import bootstrappolicy
from isthmus.engine.controllers.cluster.clusterroleaggregation import ClusterRoleAggregationController
from isthmus.machinery import rbac

RBAC = "rbac.authorization.k8s.io"
TO = "rbac.authorization.k8s.io/aggregate-to-"


class Cluster:
    """The roles in memory, read and patched as through a client."""

    def __init__(self):
        shipped = [o for o in bootstrappolicy.objects() if o["kind"] == "ClusterRole"]
        self.roles, self.writes = {}, 0
        for role in shipped:
            self.put(role)

    def put(self, role):
        self.roles[role["metadata"]["name"]] = role | {"metadata": role["metadata"] | {"resourceVersion": "1"}}

    def informer(self, _resource):
        return self

    def list(self):
        return list(self.roles.values())

    def get(self, _namespace, name):
        return self.roles.get(name)

    async def patch(self, _resource, role, body):
        self.writes += 1
        self.put(role | {"rules": body["rules"]})


@pytest.fixture
def cluster():
    return Cluster()


async def settle(cluster):
    loop = ClusterRoleAggregationController(cluster)
    for name in list(cluster.roles):
        await loop.reconcile(("", name))


def may(cluster, role, verb, group, resource, subresource=""):
    attributes = rbac.Attributes(verb, group, "v1", resource, subresource)
    return rbac.allows(cluster.roles[role]["rules"], attributes)


async def test_admin_edit_and_view_show_what_they_collect_and_are_written_once(cluster):
    await settle(cluster)
    assert cluster.writes == 3
    assert may(cluster, "view", "list", "", "pods") and not may(cluster, "view", "get", "", "secrets")
    assert may(cluster, "edit", "get", "", "secrets") and not may(cluster, "edit", "create", RBAC, "roles")
    assert may(cluster, "admin", "create", RBAC, "roles")
    await settle(cluster)
    assert cluster.writes == 3

    return "rbac.authorization.k8s.io"


async def test_kubevirts_roles_are_among_them(cluster):
    await settle(cluster)
    acts, machines = "subresources.kubevirt.io", "virtualmachineinstances"
    for role, console, delete in (("view", False, False), ("edit", True, True), ("admin", True, True)):
        assert may(cluster, role, "get", "kubevirt.io", "virtualmachines")
        assert may(cluster, role, "get", acts, machines, "guestosinfo")
        assert may(cluster, role, "get", acts, machines, "console") is console
        assert may(cluster, role, "update", acts, "virtualmachines", "start") is console
        assert may(cluster, role, "delete", "kubevirt.io", "virtualmachines") is delete
        assert not may(cluster, role, "create", "kubevirt.io", "virtualmachineinstancemigrations")
        own = cluster.roles[f"kubevirt.io:{role}"]
        assert own["metadata"]["labels"] == {"kubevirt.io": "", f"{TO}{role}": "true"}
        assert rbac.covers(cluster.roles[role]["rules"], own["rules"])


async def test_a_users_role_joins_by_its_label_and_leaves_with_it(cluster):
    rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
    role = {"kind": "ClusterRole", "metadata": {"name": "widgets", "labels": {f"{TO}view": "true"}}, "rules": [rule]}
    cluster.put(role)
    await settle(cluster)
    assert all(may(cluster, name, "get", "example.com", "widgets") for name in ("view", "edit", "admin"))
    cluster.put(role | {"metadata": {"name": "widgets"}})
    await settle(cluster)
    assert not any(may(cluster, name, "get", "example.com", "widgets") for name in ("view", "edit", "admin"))


async def test_rules_that_somebody_writes_into_an_aggregated_role_do_not_stay(cluster):
    await settle(cluster)
    shown = cluster.roles["view"]["rules"]
    cluster.put(cluster.roles["view"] | {"rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]})
    await settle(cluster)
    assert cluster.roles["view"]["rules"] == shown


async def test_a_role_without_a_rule_of_aggregation_is_left_alone(cluster):
    loop = ClusterRoleAggregationController(cluster)
    assert await loop.reconcile(("", "cluster-admin")) is None
    assert await loop.reconcile(("", "there-is-none")) is None
    assert cluster.writes == 0
