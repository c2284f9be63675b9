"""Which VirtualMachineClusterPreference suits an imported machine, of those that the cluster has. Pure.

A preference only fills gaps, but some gaps are there on purpose: the machine keeps the devices that it had. So one
whose requirements the machine does not meet (KubeVirt refuses such a VM), or that would give it a TPM or another
architecture, is left out, and what stands for all of its kind (`linux`) is tried.
"""

from collections.abc import Mapping
from typing import Any

from isthmus.importer.map.guests import Guest
from isthmus.importer.sources.machine import Firmware
from isthmus.machinery import instancetype
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
KIND = "VirtualMachineClusterPreference"
_OWN = ("domain.devices.tpm", "domain.firmware", "domain.machine", "domain.devices.disks", "domain.devices.interfaces")


def candidates(guest: Guest, firmware: Firmware) -> list[str]:
    """Names that may fit, the best first."""
    found = [guest.preference]
    if guest.family == "linux":
        found += ["linux.efi", "linux"] if firmware is Firmware.EFI else ["linux"]
    return [name for name in dict.fromkeys(found) if name]


def choose(vm: Object, names: list[str], known: Mapping[str, Object]) -> str:
    """The first of `names` that is `known` (name -> spec) and suits `vm`; "" if none does."""
    return next((name for name in names if name in known and _suits(vm, known[name])), "")


def apply(vm: Object, name: str, spec: Object) -> None:
    """Have `vm` name it; annotations that the preference gives are its own to give."""
    vm["spec"]["preference"] = {"kind": KIND, "name": name}
    metadata = vm["spec"]["template"].get("metadata") or {}
    for key in (spec.get("annotations") or {}).keys() & (metadata.get("annotations") or {}).keys():
        del metadata["annotations"][key]
    if metadata.get("annotations") == {}:
        del metadata["annotations"]


def fold(vm: Object, known: Mapping[str, Object]) -> Object:
    """`vm` with its preference's values where it has none: as it will run."""
    name = (vm["spec"].get("preference") or {}).get("name")
    return instancetype.expand(vm, None, known[name]).vm if name else vm


def _suits(vm: Object, spec: Object) -> bool:
    if instancetype.unmet_requirements(vm, None, spec) or spec.get("preferredArchitecture") not in (None, "", "amd64"):
        return False
    cpu = at(vm, "spec.template.spec.domain.cpu")
    wanted = int(at(spec, "requirements.cpu.guest") or 0)
    topology = str(at(spec, "cpu.preferredCPUTopology") or "sockets")
    if topology in ("sockets", "cores", "threads") and int(cpu[topology]) < wanted:
        return False  # KubeVirt counts only these where a VM has no instance type
    bare = {key: value for key, value in spec.items() if key != "annotations"}
    expansion = instancetype.expand(vm, None, bare)
    if expansion.conflicts:
        return False
    before, after = (v["spec"]["template"]["spec"] for v in (vm, expansion.vm))
    return all(_shown(at(before, path)) == _shown(at(after, path)) for path in _OWN)


def _shown(found: Any) -> Any:
    """Without what the guest cannot see."""
    if isinstance(found, list):
        return [{k: v for k, v in item.items() if k != "dedicatedIOThread"} for item in found]
    return found
