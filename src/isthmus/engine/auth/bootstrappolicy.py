"""The roles and bindings that every cluster has, and those of our own components. Data, in Kubernetes' own names.

Written at start where they are missing; an administrator's changes to them are kept.
"""

from typing import Any

Object = dict[str, Any]
API = "rbac.authorization.k8s.io/v1"
READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
ALL = ["*"]
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
KUBEVIRT_GROUPS = [
    "kubevirt.io", "snapshot.kubevirt.io", "clone.kubevirt.io", "export.kubevirt.io", "pool.kubevirt.io",
    "instancetype.kubevirt.io", "backup.kubevirt.io", "template.kubevirt.io",
]  # fmt: skip
VM_ACTS = [
    f"virtualmachines/{s}"
    for s in ("start", "stop", "restart", "addvolume", "removevolume", "memorydump", "expand-spec", "portforward")
]
VMI_ACTS = [
    f"virtualmachineinstances/{s}"
    for s in ("pause", "unpause", "freeze", "unfreeze", "reset", "softreboot", "addvolume", "removevolume")
]
VMI_VIEWS = [f"virtualmachineinstances/{s}" for s in ("guestosinfo", "userlist", "filesystemlist")]
VMI_CONSOLES = [
    f"virtualmachineinstances/{s}" for s in ("console", "vnc", "vnc/screenshot", "portforward", "usbredir", "vsock")
]
COMMON = [
    "configmaps", "endpoints", "events", "limitranges", "persistentvolumeclaims", "pods", "pods/log", "pods/status",
    "replicationcontrollers", "replicationcontrollers/scale", "resourcequotas", "serviceaccounts", "services",
]  # fmt: skip
WORKLOADS = ["apps", "autoscaling", "batch", "policy", "networking.k8s.io", "discovery.k8s.io", "events.k8s.io"]
NAMESPACED_GROUPS = [*WORKLOADS, *KUBEVIRT_GROUPS, "cdi.kubevirt.io", "k8s.cni.cncf.io", "isthmus.dev"]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def _paths(*paths: str) -> Object:
    return {"nonResourceURLs": list(paths), "verbs": ["get"]}


VIEW = [
    _rule([""], [*COMMON, "namespaces"], READ),
    _rule(NAMESPACED_GROUPS, ALL, READ),
    _rule(["subresources.kubevirt.io"], [*VMI_VIEWS, "virtualmachines/expand-spec"], ["get"]),
    _rule(["subresources.kubevirt.io"], ["expand-vm-spec"], ["update"]),
]
EDIT = [
    *VIEW,
    _rule(
        [""],
        [*COMMON, "secrets", "pods/attach", "pods/exec", "pods/portforward", "pods/eviction", "pods/proxy"],
        READ + WRITE,
    ),
    _rule([""], ["serviceaccounts"], ["impersonate"]),
    _rule([""], ["serviceaccounts/token"], ["create"]),
    _rule(NAMESPACED_GROUPS, ALL, WRITE),
    _rule(["coordination.k8s.io"], ["leases"], READ + WRITE),
    _rule(["upload.cdi.kubevirt.io"], ["uploadtokenrequests"], ["create"]),
    _rule(["subresources.kubevirt.io"], [*VMI_CONSOLES], ["get"]),
    _rule(["subresources.kubevirt.io"], [*VM_ACTS, *VMI_ACTS, "virtualmachines/migrate"], ["get", "update"]),
]
ADMIN = [
    *EDIT,
    _rule(["rbac.authorization.k8s.io"], ["roles", "rolebindings"], READ + WRITE),
    _rule(["authorization.k8s.io"], ["localsubjectaccessreviews"], ["create"]),
]
DISCOVERY = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
]
NODE = [
    _rule([""], ["nodes"], [*READ, "create", "update", "patch"]),
    _rule([""], ["nodes/status", "pods/status"], ["update", "patch"]),
    _rule([""], ["pods"], [*READ, "delete"]),
    _rule([""], ["events"], ["create", "patch", "update"]),
    _rule(
        [""], ["persistentvolumes", "persistentvolumeclaims", "configmaps", "secrets", "services", "namespaces"], READ
    ),
    _rule([""], ["persistentvolumes", "persistentvolumes/status"], ["update", "patch"]),
    _rule([""], ["persistentvolumeclaims"], ["patch"]),  # annotations: that an upload has arrived
    _rule([""], ["serviceaccounts/token"], ["create"]),
    _rule([""], ["serviceaccounts"], READ),
    _rule(["coordination.k8s.io"], ["leases"], [*READ, "create", "update", "patch"]),
    _rule(["kubevirt.io"], ["virtualmachineinstances", "virtualmachineinstances/status"], [*READ, "update", "patch"]),
    _rule(["kubevirt.io"], ["virtualmachines", "kubevirts"], READ),
    _rule(["k8s.cni.cncf.io"], ["network-attachment-definitions"], READ),
    _rule(["storage.k8s.io"], ["storageclasses"], READ),
]

CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [_rule(ALL, ALL, ALL), {"nonResourceURLs": ALL, "verbs": ALL}],
    "system:discovery": [_paths(*DISCOVERY)],
    "system:public-info-viewer": [_paths("/healthz", "/livez", "/readyz", "/version", "/version/")],
    "system:basic-user": [
        _rule(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
    ],
    "system:node": NODE,
    "system:isthmus:controllers": [_rule(ALL, ALL, READ + WRITE + ["bind", "escalate"]), _paths("/*")],
    "kubevirt.io:default": [_rule(["kubevirt.io"], ["kubevirts"], ["get", "list"])],
}
AGGREGATED: dict[str, list[Object]] = {"view": VIEW, "edit": EDIT, "admin": ADMIN}
WIDER = {"view": "edit", "edit": "admin"}  # whoever may edit may view, whatever a CRD's own roles add to that
BINDINGS: list[tuple[str, str, str]] = [  # (name, role, group)
    ("cluster-admin", "cluster-admin", "system:masters"),
    ("system:discovery", "system:discovery", "system:authenticated"),
    ("system:basic-user", "system:basic-user", "system:authenticated"),
    ("system:public-info-viewer", "system:public-info-viewer", "system:unauthenticated"),
    ("system:isthmus:nodes", "system:node", "system:nodes"),
    ("system:isthmus:controllers", "system:isthmus:controllers", "system:isthmus:controllers"),
    ("kubevirt.io:default", "kubevirt.io:default", "system:authenticated"),
]


def objects() -> list[Object]:
    """Every role and binding, ready to create."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    out: list[Object] = []
    for name, rules in CLUSTER_ROLES.items():
        out.append(
            {"apiVersion": API, "kind": "ClusterRole", "metadata": {"name": name, "labels": labels}, "rules": rules}
        )
    for name, rules in AGGREGATED.items():
        # `view` etc. collect by label, so that a CRD's own roles extend them; ours is the first that they collect.
        aggregate = {AGGREGATE + name: "true"}
        source = {"name": f"system:aggregate-to-{name}", "labels": labels | aggregate}
        out.append({"apiVersion": API, "kind": "ClusterRole", "metadata": source, "rules": rules})
        rule = {"clusterRoleSelectors": [{"matchLabels": aggregate}]}
        collected = {AGGREGATE + WIDER[name]: "true"} if name in WIDER else {}
        metadata = {"name": name, "labels": labels | collected}
        out.append(
            {"apiVersion": API, "kind": "ClusterRole", "metadata": metadata, "aggregationRule": rule, "rules": []}
        )
    for name, role, group in BINDINGS:
        subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        metadata = {"name": name, "labels": labels}
        out.append(
            {
                "apiVersion": API,
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": reference,
                "subjects": [subject],
            }
        )
    return out
