"""What KubeVirt writes into the template of a VirtualMachine: its architecture, machine type and identity.

An admission plugin, because the machine type may be a preference's. The UUID and serial number are given once, at the
VM's creation, so that the guest is the same machine at every start; an update that leaves them out (`kubectl replace`
of the first manifest) keeps them. Source: virt-api's VM mutator of KubeVirt 1.9.
"""

import uuid
from typing import Any

from isthmus.engine.registry import instancetypes
from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategies.vmidefaults import ARCHITECTURE, machine
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
FIRMWARE = "spec.template.spec.domain.firmware"


def _complete(_served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    template = at(new, "spec.template.spec")
    if context.subresource or new["metadata"].get("deletionTimestamp") or not isinstance(template, dict):
        return
    if old is not None and new["spec"] is old.get("spec"):
        return
    preference = _preference(new, lookup)
    domain = template.get("domain")
    domain = domain if isinstance(domain, dict) else {}
    architecture = template.get("architecture") or at(preference, "preferredArchitecture") or ARCHITECTURE
    given = domain.get("machine") or {}
    wanted = at(preference, "machine.preferredMachineType") or machine(architecture)
    changed = {
        **domain,
        "machine": given if given.get("type") else {**given, "type": wanted},
        "firmware": _identified(domain.get("firmware") or {}, old),
    }
    new["spec"] = {
        **new["spec"],
        "template": {
            **new["spec"]["template"],
            "spec": {**template, "architecture": architecture, "domain": changed},
        },
    }


def _preference(vm: Object, lookup: Lookup) -> Object:
    try:
        return instancetypes.find_spec(vm, "preference", lookup) or {}
    except errors.StatusError:
        return {}  # it may come later; the VM waits for it at its start


def _identified(firmware: Object, old: Object | None) -> Object:
    kept = {"uuid": str(uuid.uuid4()), "serial": str(uuid.uuid4())} if old is None else at(old, FIRMWARE) or {}
    return {**firmware, **{k: kept[k] for k in ("uuid", "serial") if kept.get(k) and not firmware.get(k)}}


PLUGINS = (Plugin("VirtualMachineDefaults", frozenset({"virtualmachines.kubevirt.io"}), mutate=_complete),)
