"""Whoever names a path of the node reaches into the host: imports from a path, host disks, and worker pods.

Only users who may `use` the resource `hostpaths` of the group isthmus.dev in the object's namespace (cluster-admin may;
edit and admin of a namespace may not) get such an object past admission, at creation and at every change of the path.
What controllers make of it later is covered by that: every kind that holds a template is a row of `SPECS`.
A plugin of the registry's admission, made here because only this layer knows who may do what.
"""

from collections.abc import Iterator
from typing import Any

from isthmus.engine.auth.authorization import Authorizer
from isthmus.engine.auth.user import MASTERS, User
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, rbac
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
GROUP, RESOURCE, VERB = "isthmus.dev", "hostpaths", "use"
WORKER_IMAGE = "isthmus.dev/worker"  # run as a process of the node by the embedded home's agent
CONTROLLERS = "system:isthmus:controllers"  # write what their users' objects, checked here, ask for
POD_TEMPLATE = "spec.template.spec"
SPECS = {  # resource -> where a VMI's or a Pod's spec stands in it
    "virtualmachineimports.isthmus.dev": "spec",
    "virtualmachineinstances.kubevirt.io": "spec",
    "virtualmachines.kubevirt.io": POD_TEMPLATE,
    "virtualmachineinstancereplicasets.kubevirt.io": POD_TEMPLATE,
    "virtualmachinepools.pool.kubevirt.io": "spec.virtualMachineTemplate.spec.template.spec",
    "pods": "spec",
    "replicationcontrollers": POD_TEMPLATE,
    "deployments.apps": POD_TEMPLATE,
    "replicasets.apps": POD_TEMPLATE,
    "statefulsets.apps": POD_TEMPLATE,
    "daemonsets.apps": POD_TEMPLATE,
    "jobs.batch": POD_TEMPLATE,
    "cronjobs.batch": "spec.jobTemplate.spec.template.spec",
}


def find_uses(spec: Any) -> Iterator[tuple[str, str]]:
    """What in a spec reaches into the host, as (field, what it is)."""
    if not isinstance(spec, dict):
        return
    if path := at(spec, "source.path"):
        yield "source.path", f"the path {path!r} is on the node"
    for volume in spec.get("volumes") or ():
        for kind in ("hostDisk", "hostPath"):
            if path := at(volume, f"{kind}.path"):
                yield f"volumes[{volume.get('name')}].{kind}", f"the path {path!r} is on the node"
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            image = str(container.get("image") or "")
            if image.split("@")[0].split(":")[0] == WORKER_IMAGE:
                yield f"{kind}[{container.get('name')}]", f"the image {image} runs as a process of the node"


def plugin(authorizer: Authorizer) -> Plugin:
    """The admission plugin."""

    def check(served: Served, new: Object, old: Object | None, context: WriteContext, _lookup: Lookup) -> None:
        if context.subresource == "status" or {MASTERS, CONTROLLERS} & set(context.groups):
            return
        where = SPECS[served.kind.resource]
        spec = at(new, where)
        uses = list(find_uses(spec))
        if not uses or (old is not None and spec == at(old, where)):
            return
        namespace = new["metadata"].get("namespace", "")
        user = User(context.user, context.groups)
        if not authorizer.allows(user, rbac.Attributes(VERB, GROUP, "v1alpha1", RESOURCE, namespace=namespace)):
            raise _refusal(served, new, where, uses[0], context.user)

    return Plugin("HostPaths", frozenset(SPECS), validate=check)


def _refusal(served: Served, obj: Object, where: str, use: tuple[str, str], user: str) -> errors.StatusError:
    field, what = use
    upload = " upload the file (isthmus import --upload), or" if field == "source.path" else ""
    why = (
        f'{where}.{field}: {what}, which user "{user}" may not use:{upload} ask an administrator for a role with the '
        f'verb "{VERB}" on "{RESOURCE}" in the API group "{GROUP}"'
    )
    return errors.forbidden(served.kind.group, served.kind.plural, obj["metadata"].get("name", ""), why)
