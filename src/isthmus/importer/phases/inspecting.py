"""Inspecting: a worker reads what the source says of the machine; names are chosen, and what is odd is told.

Whatever can be known to be wrong now is refused now, before a byte is copied: the VM's name, its networks.
"""

from dataclasses import asdict
from typing import Any

from isthmus.client import resources
from isthmus.importer.map import claims, concerns, names
from isthmus.importer.map import virtual_machine as mapping
from isthmus.importer.phases import creating, source, worker
from isthmus.importer.phases.phase import Import, ImportFailedError, Next
from isthmus.importer.sources.machine import Machine
from isthmus.importer.sources.plain import read_machine

Object = dict[str, Any]


async def step(work: Import) -> Next:
    """Run the worker, read its answer."""
    name, given = work.child("inspect"), source.find(work)
    pod = await work.ensure(resources.PODS, worker.build_pod(name, ["inspect", *given.arguments], given.volumes))
    if not await worker.finished(work, pod):
        return Next.STAY
    answers = [a for a in worker.read_json_lines(await work.log(name)) if "machines" in a]
    if not answers:
        raise ImportFailedError("the worker has read the source, but its answer is not in its log")
    await work.patch_status(find_facts(work, answers[-1]))
    await creating.check(work)
    for concern in work.status["source"]["concerns"]:
        if concern["category"] == concerns.Category.CRITICAL:
            await work.warn("Concern", f"{concern['label']}: {concern['assessment']}")
    await work.delete(resources.PODS, name)
    return Next.ONWARD


def find_facts(work: Import, answer: Object) -> Object:
    """What a worker's answer means for the status. Raises ImportFailedError if it cannot be imported."""
    plain = _choose(answer["machines"], str(work.spec["source"].get("machine") or ""))
    machine = read_machine(plain)
    for disk in machine.disks:
        if not disk.capacity:
            raise ImportFailedError(f"the source does not say how large {disk.label or disk.id} is")
    vm_name = names.to_label(work.spec.get("targetName") or machine.name or work.name)
    claimed = claims.claim_names(machine, vm_name)
    targets = creating.network_targets(work, machine)
    on_pod = [name for name, target in targets.items() if target == mapping.POD_NETWORK]
    found = concerns.find_concerns(machine, creating.unplugged(work, machine), on_pod)
    return {
        "source": _shown(machine, answer) | {"machine": plain, "concerns": [asdict(concern) for concern in found]},
        "virtualMachineName": vm_name,
        "disks": [
            {"name": d.id, "claimName": claimed[d.id], "capacity": claims.quantity(d.capacity or 0)}
            for d in machine.disks
        ],
    }


def _choose(machines: list[Object], wanted: str) -> Object:
    known = ", ".join(str(m["name"]) for m in machines)
    if not machines:
        raise ImportFailedError("the source holds no virtual machine")
    if not wanted and len(machines) > 1:
        raise ImportFailedError(f"the source holds several machines ({known}): name one in spec.source.machine")
    for machine in machines:
        if wanted in ("", machine["name"], machine.get("id")):
            return machine
    raise ImportFailedError(f"the source holds no machine {wanted!r}; it holds {known}")


def _shown(machine: Machine, answer: Object) -> Object:
    """What people look at; the whole is under `machine`."""
    return {
        "name": machine.name,
        "guestOS": machine.os.guest_id or machine.os.description,
        "cpus": machine.cpus,
        "coresPerSocket": machine.cores_per_socket,
        "memory": claims.quantity(machine.memory),
        "firmware": machine.firmware.value,
        "secureBoot": machine.secure_boot,
        "tpm": machine.tpm,
        "signed": bool(answer.get("signed")),
        "manifest": bool(answer.get("manifest")),
        "networks": list(answer.get("networks") or []),
        "nics": [{"label": n.label, "network": n.network, "mac": n.mac, "model": n.subtype} for n in machine.nics],
    }
