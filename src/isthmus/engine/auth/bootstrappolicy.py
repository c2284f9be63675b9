"""The roles and bindings that every cluster has, and those of our own components. Data, in Kubernetes' own names.

Written at start where they are missing; an administrator's changes to them are kept.
"""

from isthmus.engine.auth import kubevirtpolicy
from isthmus.engine.auth.kubevirtpolicy import ALL, READ, WRITE, Object, rule

API = "rbac.authorization.k8s.io/v1"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
COMMON = [
    "configmaps", "endpoints", "events", "limitranges", "persistentvolumeclaims", "pods", "pods/log", "pods/status",
    "replicationcontrollers", "replicationcontrollers/scale", "resourcequotas", "serviceaccounts", "services",
]  # fmt: skip
WORKLOADS = ["apps", "autoscaling", "batch", "policy", "networking.k8s.io", "discovery.k8s.io", "events.k8s.io"]
NAMESPACED_GROUPS = [*WORKLOADS, "cdi.kubevirt.io", "template.kubevirt.io", "k8s.cni.cncf.io", "isthmus.dev"]


def _paths(*paths: str) -> Object:
    return {"nonResourceURLs": list(paths), "verbs": ["get"]}


VIEW = [
    rule([""], [*COMMON, "namespaces"], READ),
    rule(NAMESPACED_GROUPS, ALL, READ),
]
EDIT = [
    *VIEW,
    rule(
        [""],
        [*COMMON, "secrets", "pods/attach", "pods/exec", "pods/portforward", "pods/eviction", "pods/proxy"],
        READ + WRITE,
    ),
    rule([""], ["serviceaccounts"], ["impersonate"]),
    rule([""], ["serviceaccounts/token"], ["create"]),
    rule(NAMESPACED_GROUPS, ALL, WRITE),
    rule(["coordination.k8s.io"], ["leases"], READ + WRITE),
    rule(["upload.cdi.kubevirt.io"], ["uploadtokenrequests"], ["create"]),
]
ADMIN = [
    *EDIT,
    rule(["rbac.authorization.k8s.io"], ["roles", "rolebindings"], READ + WRITE),
    rule(["authorization.k8s.io"], ["localsubjectaccessreviews"], ["create"]),
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
# What the Node authorizer does not divide by object: Secrets, ConfigMaps, tokens, Leases, Nodes and Pods are its own.
NODE = [
    rule([""], ["events"], ["create", "get", "patch", "update"]),  # get: to count what is told again
    rule([""], ["persistentvolumes", "persistentvolumeclaims"], [*READ, "patch", "update"]),
    rule([""], ["services"], READ),
    rule(["certificates.k8s.io"], ["certificatesigningrequests"], [*READ, "create"]),
    rule(["kubevirt.io"], ["virtualmachineinstances"], [*READ, "update", "patch"]),
    rule(["kubevirt.io"], ["virtualmachines", "kubevirts"], READ),
    rule(["k8s.cni.cncf.io"], ["network-attachment-definitions"], READ),
]

CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [rule(ALL, ALL, ALL), {"nonResourceURLs": ALL, "verbs": ALL}],
    "system:discovery": [_paths(*DISCOVERY)],
    "system:public-info-viewer": [_paths("/healthz", "/livez", "/readyz", "/version", "/version/")],
    "system:basic-user": [
        rule(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
    ],
    "system:node": NODE,
    "system:isthmus:controllers": [rule(ALL, ALL, READ + WRITE + ["bind", "escalate"]), _paths("/*")],
    **kubevirtpolicy.CLUSTER_ROLES,
}
AGGREGATED: dict[str, list[Object]] = {"view": VIEW, "edit": EDIT, "admin": ADMIN}
WIDER = {"view": "edit", "edit": "admin"}  # whoever may edit may view, whatever a CRD's own roles add to that
BINDINGS: list[tuple[str, str, str]] = [  # (name, role, group); a node's rights come of its name, not of its group
    ("cluster-admin", "cluster-admin", "system:masters"),
    ("system:discovery", "system:discovery", "system:authenticated"),
    ("system:basic-user", "system:basic-user", "system:authenticated"),
    ("system:public-info-viewer", "system:public-info-viewer", "system:unauthenticated"),
    ("system:node", "system:node", ""),
    ("system:isthmus:controllers", "system:isthmus:controllers", "system:isthmus:controllers"),
    *((name, name, "system:authenticated") for name in kubevirtpolicy.FOR_EVERYBODY),
]
WITHDRAWN = ["system:isthmus:nodes"]  # bindings that older versions made: it let every agent read every Secret


def objects() -> list[Object]:
    """Every role and binding, ready to create."""
    out = [_role(name, rules) for name, rules in CLUSTER_ROLES.items()]
    for name, rules in AGGREGATED.items():
        # `view` etc. collect by label, so that a CRD's own roles extend them; ours are the first that they collect.
        collects = {AGGREGATE + name: "true"}
        out.append(_role(f"system:aggregate-to-{name}", rules, LABELS | collects))
        out.append(_role(f"kubevirt.io:{name}", kubevirtpolicy.AGGREGATED[name], {"kubevirt.io": ""} | collects))
        collected = {AGGREGATE + WIDER[name]: "true"} if name in WIDER else {}
        selectors = [{"matchLabels": collects}]
        out.append(_role(name, [], LABELS | collected) | {"aggregationRule": {"clusterRoleSelectors": selectors}})
    return out + [_binding(name, role, group) for name, role, group in BINDINGS]


def _role(name: str, rules: list[Object], labels: dict[str, str] = LABELS) -> Object:
    return {"apiVersion": API, "kind": "ClusterRole", "metadata": {"name": name, "labels": labels}, "rules": rules}


def _binding(name: str, role: str, group: str) -> Object:
    subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}
    return {
        "apiVersion": API,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": LABELS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject] if group else [],
    }
