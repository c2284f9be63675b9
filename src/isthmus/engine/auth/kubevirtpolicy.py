"""KubeVirt's ClusterRoles, which `admin`, `edit` and `view` collect. Data, in KubeVirt's own names.

Source: KubeVirt 1.9, pkg/virt-operator/resource/generate/rbac/cluster.go. Written with those of `bootstrappolicy`.
"""

from typing import Any

Object = dict[str, Any]
ALL = ["*"]
READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
CHANGE = [verb for verb in WRITE if verb != "deletecollection"]


def rule(groups: list[str], resources: list[str], verbs: list[str]) -> Object:
    """A PolicyRule about resources."""
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def _of_vms(*names: str) -> list[str]:
    return [f"virtualmachines/{name}" for name in names]


def _of_vmis(*names: str) -> list[str]:
    return [f"virtualmachineinstances/{name}" for name in names]


SUBRESOURCES = ["subresources.kubevirt.io"]
MIGRATIONS = ["virtualmachineinstancemigrations"]
KINDS = [  # (group, resources) that admin and edit write, and view reads
    (
        "kubevirt.io",
        [
            "virtualmachines",
            "virtualmachineinstances",
            "virtualmachineinstancepresets",
            "virtualmachineinstancereplicasets",
        ],
    ),
    (
        "snapshot.kubevirt.io",
        ["virtualmachinesnapshots", "virtualmachinesnapshotcontents", "virtualmachinerestores"],
    ),
    ("backup.kubevirt.io", ["virtualmachinebackups", "virtualmachinebackuptrackers"]),
    ("export.kubevirt.io", ["virtualmachineexports"]),
    ("clone.kubevirt.io", ["virtualmachineclones"]),
    (
        "instancetype.kubevirt.io",
        [
            "virtualmachineinstancetypes",
            "virtualmachineclusterinstancetypes",
            "virtualmachinepreferences",
            "virtualmachineclusterpreferences",
        ],
    ),
    ("pool.kubevirt.io", ["virtualmachinepools"]),
]
VIEWS = [
    *_of_vmis("guestosinfo", "filesystemlist", "userlist", "sev/fetchcertchain", "objectgraph"),
    *_of_vms("objectgraph"),
]
CONSOLES = _of_vmis("console", "vnc", "vnc/screenshot", "portforward", "usbredir", "vsock")
VMI_ACTS = _of_vmis(
    "pause", "unpause", "addvolume", "removevolume", "freeze", "unfreeze", "softreboot", "reset",
    "sev/setupsession", "sev/injectlaunchsecret", "evacuate/cancel",
)  # fmt: skip
VM_ACTS = _of_vms(
    "start", "stop", "restart", "addvolume", "removevolume", "memorydump", "removememorydump", "evacuate/cancel"
)
COMMON = [
    rule(SUBRESOURCES, ["expand-vm-spec"], ["update"]),
    rule(["kubevirt.io"], MIGRATIONS, READ),
    rule(["migrations.kubevirt.io"], ["migrationpolicies"], READ),
]
ACTS = [
    rule(SUBRESOURCES, [*VIEWS, *CONSOLES, *_of_vmis("sev/querylaunchmeasurement")], ["get"]),
    rule(SUBRESOURCES, VMI_ACTS, ["update"]),
    rule(SUBRESOURCES, _of_vms("expand-spec", "portforward"), ["get"]),
    rule(SUBRESOURCES, VM_ACTS, ["update"]),
    *COMMON,
]
AGGREGATED: dict[str, list[Object]] = {
    "view": [
        rule(["kubevirt.io"], ["kubevirts"], ["get", "list"]),
        rule(SUBRESOURCES, [*VIEWS, *_of_vmis("sev/querylaunchmeasurement"), *_of_vms("expand-spec")], ["get"]),
        *COMMON,
        *(rule([group], resources, READ) for group, resources in KINDS),
    ],
    "edit": [
        rule(["kubevirt.io"], ["kubevirts"], ["get", "list"]),
        *ACTS,
        *(rule([group], resources, READ + CHANGE) for group, resources in KINDS),
    ],
    "admin": [*ACTS, *(rule([group], resources, READ + WRITE) for group, resources in KINDS)],
}
CLUSTER_ROLES: dict[str, list[Object]] = {
    "kubevirt.io:default": [
        rule(["kubevirt.io"], ["kubevirts"], ["get", "list"]),
        rule(SUBRESOURCES, ["version", "guestfs"], ["get", "list"]),
    ],
    "instancetype.kubevirt.io:view": [
        rule(
            ["instancetype.kubevirt.io"],
            ["virtualmachineclusterinstancetypes", "virtualmachineclusterpreferences"],
            READ,
        )
    ],
    "kubevirt.io:migrate": [  # moving machines between nodes is for whom it is given to, not for all who edit
        rule(SUBRESOURCES, _of_vms("migrate"), ["update"]),
        rule(["kubevirt.io"], MIGRATIONS, READ + WRITE),
    ],
}
FOR_EVERYBODY = ("kubevirt.io:default", "instancetype.kubevirt.io:view")
