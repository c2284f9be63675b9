"""virtualmachineinstances/*: consoles and acts that concern QEMU go on to the node's agent, under the VMI's path.

Preconditions and answers are KubeVirt 1.9's (virt-api's subresource handlers); clients match on them.
"""

from typing import Any

from isthmus.engine.server import agent
from isthmus.engine.server.context import Call
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Table
from isthmus.engine.server.subresources import shared
from isthmus.machinery import errors
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
GUEST_QUERIES = ("guestosinfo", "userlist", "filesystemlist")
PROTOCOLS = ("tcp", "udp")


async def _to_agent(call: Call, node: str) -> Response | None:
    info, query = call.info, call.request.raw_query
    path = agent.path_of("vmis", info.namespace, info.name, *info.subresource.split("/"), query=query)
    return await agent.forward(call.server.home, node, call.request, path)


def _check_port(subresource: str) -> None:
    """portforward/PORT or portforward/PORT/PROTOCOL. Raises StatusError 400."""
    _, port, *rest = subresource.split("/")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise errors.bad_request(f"port must be a number between 1 and 65535, not {port[:40]!r}")
    if rest and (len(rest) > 1 or rest[0] not in PROTOCOLS):
        raise errors.bad_request("only tcp and udp can be forwarded")


async def act(call: Call) -> Response | None:
    """pause, unpause, freeze, unfreeze, reset, softreboot, guest information: the agent does it on the running VMI."""
    vmi = shared.find_vmi(call)
    dry_run = call.info.subresource in ("pause", "unpause") and shared.options(call)["dryRun"]
    node = shared.require_running(call, vmi)
    _check_act(call, vmi)
    return Response(b"") if dry_run else await _to_agent(call, node)


def _check_act(call: Call, vmi: Object) -> None:
    """Whether the VMI is in the state that an act needs. Raises StatusError 403, 409."""
    subresource = call.info.subresource
    paused, probe = shared.condition(vmi, "Paused"), vmi["spec"].get("livenessProbe")
    if subresource == "pause" and probe and probe.get("guestAgentPing") is None:
        why = "Pausing VMIs with a non-GuestAgentPing LivenessProbe is not supported"
        raise errors.forbidden(shared.KUBEVIRT, "virtualmachineinstance", call.info.name, why)
    if subresource == "pause" and paused:
        raise shared.conflict(call, "VMI is already paused")
    if subresource == "unpause" and not paused:
        raise shared.conflict(call, "VMI is not paused")
    if subresource == "softreboot":
        _check_reboot(call, vmi, paused=paused)
    if subresource in GUEST_QUERIES and not shared.condition(vmi, "AgentConnected"):
        raise shared.conflict(call, "VMI does not have guest agent connected")


def _check_reboot(call: Call, vmi: Object, *, paused: bool) -> None:
    """A guest reboots by its agent or by ACPI. Raises StatusError 409."""
    if paused:
        raise shared.conflict(call, "VMI is paused")
    acpi = at(vmi, "spec.domain.features.acpi.enabled") is not False
    if not acpi and not shared.condition(vmi, "AgentConnected"):
        raise shared.conflict(call, "VMI neither have the agent connected nor the ACPI feature enabled")


async def refuse(call: Call) -> Response:
    """What KubeVirt has and this platform has not: in KubeVirt's words where it refuses too. Raises StatusError."""
    subresource = call.info.subresource
    if subresource in ("memorydump", "removememorydump"):
        shared.find_vm(call)
        raise errors.bad_request("memory dumps are not supported by this platform")
    if subresource == "objectgraph":
        raise errors.bad_request("ObjectGraph feature gate not enabled: Unable to return object graph.")
    devices = at(shared.find_vmi(call), "spec.domain.devices") or {}
    if subresource == "usbredir" and devices.get("clientPassthrough") is None:
        raise shared.conflict(call, "Not configured with USB Redirection")
    if subresource == "vsock" and not devices.get("autoattachVSOCK"):
        raise errors.bad_request("VSOCK is not attached.")
    raise errors.bad_request(f"{subresource} is not supported by this platform")


async def connect(call: Call) -> Response | None:
    """console, vnc, portforward: WebSockets that the agent speaks."""
    vmi = shared.find_vmi(call)
    phase, devices = (vmi.get("status") or {}).get("phase"), vmi["spec"]["domain"].get("devices") or {}
    subresource = call.info.subresource
    if subresource.startswith("portforward/"):
        _check_port(subresource)
    if phase == "Failed":
        raise shared.conflict(call, "VMI is in failed status")
    if subresource == "console" and devices.get("autoattachSerialConsole") is False:
        raise errors.bad_request("No serial consoles are present.")
    if subresource.startswith("vnc") and devices.get("autoattachGraphicsDevice") is False:
        raise errors.bad_request("No graphics devices are present.")
    if phase != "Running":
        raise errors.bad_request(f"VirtualMachineInstance is not running (it is {phase or 'Pending'})")
    if subresource.startswith("portforward") and shared.condition(vmi, "Paused"):
        raise shared.conflict(call, "VMI is paused")
    if not subresource.endswith("screenshot") and call.request.wants_upgrade != "websocket":
        raise errors.bad_request(f"{subresource} is a WebSocket: send an upgrade request, as virtctl does")
    return await _to_agent(call, vmi["status"]["nodeName"])


async def cancel_evacuation(call: Call) -> Response:
    """The VMI is not to leave its node after all."""
    options = shared.options(call)
    vmi = shared.find_vmi(call)
    if not (vmi.get("status") or {}).get("evacuationNodeName"):
        raise shared.conflict(call, "VMI is not marked for evacuation")

    def edit(obj: Object) -> Object:
        obj["status"].pop("evacuationNodeName", None)
        return obj

    await shared.write(call, shared.VMIS, edit, dry_run=options["dryRun"])
    return Response(b"", 200)


TABLE: Table = {
    (shared.VM_ACTS, "portforward/*"): {"get": connect},
    (shared.VMI_ACTS, "portforward/*"): {"get": connect},
    (shared.VM_ACTS, "evacuate/cancel"): {"update": cancel_evacuation},
    (shared.VMI_ACTS, "evacuate/cancel"): {"update": cancel_evacuation},
    **{(shared.VMI_ACTS, s): {"get": connect} for s in ("console", "vnc", "vnc/screenshot")},
    **{
        (shared.VMI_ACTS, s): {"update": act} for s in ("pause", "unpause", "freeze", "unfreeze", "reset", "softreboot")
    },
    **{(shared.VMI_ACTS, s): {"get": act} for s in GUEST_QUERIES},
    **{(shared.VM_ACTS, s): {"update": refuse} for s in ("memorydump", "removememorydump")},
    **{(shared.VMI_ACTS, s): {"get": refuse} for s in ("usbredir", "vsock")},
    **{(shared.VMI_ACTS, s): {"update": refuse} for s in ("backup", "redefine-checkpoint")},
    **{(resource, "objectgraph"): {"get": refuse} for resource in (shared.VM_ACTS, shared.VMI_ACTS)},
}
