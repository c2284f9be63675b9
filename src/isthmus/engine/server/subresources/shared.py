"""What the subresources of VMs and VMIs share: finding them, refusing in KubeVirt's words, writing for the user."""

from collections.abc import Callable
from typing import Any

from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server import options as checks
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.machinery import errors

Object = dict[str, Any]
Edit = Callable[[Object], Object]  # in place
KUBEVIRT, SUBRESOURCES = "kubevirt.io", "subresources.kubevirt.io"
VMS, VMIS = f"virtualmachines.{KUBEVIRT}", f"virtualmachineinstances.{KUBEVIRT}"
VM_ACTS, VMI_ACTS = f"virtualmachines.{SUBRESOURCES}", f"virtualmachineinstances.{SUBRESOURCES}"
FINAL = ("Succeeded", "Failed")


def accepted() -> Response:
    """202 without a body, as virt-api answers what a controller carries out."""
    return Response(b"", 202)


def find(call: Call, resource: str) -> Object | None:
    """The object of the request's name in another resource."""
    return call.server.storage.lookup(resource, call.info.namespace, call.info.name)


def find_vm(call: Call) -> Object:
    """The VM. Raises StatusError 404."""
    found = find(call, VMS)
    if found is None:
        raise errors.not_found(KUBEVIRT, "virtualmachine", call.info.name)
    return found


def find_vmi(call: Call) -> Object:
    """The VMI. Raises StatusError 404."""
    found = find(call, VMIS)
    if found is None:
        raise errors.not_found(KUBEVIRT, "virtualmachineinstance", call.info.name)
    return found


def conflict(call: Call, why: str) -> errors.StatusError:
    """409 in virt-api's form, which names the kind in the singular."""
    return errors.conflict(KUBEVIRT, call.info.resource.removesuffix("s"), call.info.name, why)


def options(call: Call) -> Object:
    """The options in the body, which may be missing; `dryRun` becomes a bool. Raises StatusError 400."""
    given = body.read_any(call, call.write_context()) if call.request.body.strip() else {}
    for field, kind in (("gracePeriod", int), ("gracePeriodSeconds", int), ("paused", bool)):
        value = given.get(field)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise errors.bad_request(f"{field}: must be {'a number' if kind is int else 'true or false'}")
    return {**given, "dryRun": checks.is_dry_run(given.get("dryRun"), checks.KINDS["update"])}


async def write(call: Call, resource: str, edit: Edit, *, subresource: str = "", dry_run: bool = False) -> None:
    """Change the VM or VMI: who may use the subresource need not be allowed to write the object itself."""
    served = call.server.registry.by_resource(resource)
    assert served
    context = WriteContext(
        call.user.name,
        call.user.groups,
        served.kind.storage_version,
        subresource,
        "virt-api",
        dry_run=dry_run,
        internal=True,
    )
    await call.server.storage.modify(served, (resource, call.info.namespace, call.info.name), edit, context)


def condition(obj: Object, kind: str) -> bool:
    """Whether a condition is True."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def require_running(call: Call, vmi: Object) -> str:
    """The node that runs it. Raises StatusError 409 with the phase in words."""
    status = vmi.get("status") or {}
    if status.get("phase") != "Running" or not status.get("nodeName"):
        raise conflict(call, f"VM is not running (it is {status.get('phase') or 'Pending'})")
    return str(status["nodeName"])
