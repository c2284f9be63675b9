"""Inspecting: a worker reads what the source says of the machine; names are chosen, and what is odd is told."""

from typing import Any

from isthmus.client import resources
from isthmus.importer.map import claims, names
from isthmus.importer.phases.phase import Import, ImportFailedError, finished, read_json_lines, worker_pod
from isthmus.importer.sources.machine import Machine
from isthmus.importer.sources.plain import read_machine

Object = dict[str, Any]


def source_argument(spec: Object) -> str:
    """The worker's --source. Raises ImportFailedError if the spec names none."""
    source = spec["source"]
    given = source.get("path") or source.get("url")
    if not given:
        raise ImportFailedError("spec.source: exactly one of path, url and upload must be given")
    return str(given)


async def step(work: Import) -> bool:
    """Run the worker, read its answer."""
    name = names.to_label(f"{work.name}-inspect")
    pod = await work.ensure(resources.PODS, worker_pod(name, ["inspect", "--source", source_argument(work.spec)]))
    if not await finished(work, pod):
        return False
    answers = [a for a in read_json_lines(await work.log(name)) if "machines" in a]
    if not answers:
        raise ImportFailedError("the worker has read the source, but its answer is not in its log")
    await work.patch_status(_facts(work, answers[-1]))
    await work.delete(resources.PODS, name)
    return True


def _facts(work: Import, answer: Object) -> Object:
    plain = _choose(answer["machines"], str(work.spec["source"].get("machine") or ""))
    machine = read_machine(plain)
    vm_name = names.to_label(work.spec.get("targetName") or machine.name or work.name)
    claimed = claims.claim_names(machine, vm_name)
    return {
        "source": _shown(machine, answer) | {"machine": plain},
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
