"""The conditions of an import: Ready, Transferred, Converted, Proven. Pure; the controller writes what comes out."""

from typing import Any

from isthmus.importer.convert.decide import Converter
from isthmus.machinery import conditions

Object = dict[str, Any]
READY, TRANSFERRED, CONVERTED, PROVEN = TYPES = ("Ready", "Transferred", "Converted", "Proven")
OF_PHASE = {"Transferring": TRANSFERRED, "Converting": CONVERTED, "Proving": PROVEN}


def begun(now: str, generation: int) -> list[Object]:
    """Nothing is done yet."""
    found: list[Object] = []
    for kind in TYPES:
        new = conditions.build(
            kind, False, "InProgress" if kind == READY else "Pending", observed_generation=generation
        )
        found = conditions.put(found, new, now)
    return found


def after(found: list[Object], phase: str, status: Object, now: str) -> list[Object]:
    """`phase` has ended well."""
    kind = OF_PHASE.get(phase)
    return conditions.put(found, _finished(kind, status), now) if kind else found


def again(found: list[Object], now: str) -> list[Object]:
    """The disks are copied once more: what was true of them is no longer."""
    why = "a conversion that failed has left the disks half changed"
    return conditions.put(found, conditions.build(TRANSFERRED, False, "TransferringAgain", why), now)


def succeeded(found: list[Object], now: str, generation: int) -> list[Object]:
    """The virtual machine is here."""
    return conditions.put(found, conditions.build(READY, True, "Imported", observed_generation=generation), now)


def failed(found: list[Object], phase: str, message: str, now: str, generation: int) -> list[Object]:
    """The import ended in `phase`. The disks are gone with it."""
    for kind in TYPES[1:]:
        old = conditions.find(found, kind) or {}
        if kind == OF_PHASE.get(phase):
            found = conditions.put(found, conditions.build(kind, False, "Failed", message), now)
        elif old.get("status") == "True":
            found = conditions.put(found, conditions.build(kind, False, "CleanedUp", "the import failed later"), now)
    ready = conditions.build(READY, False, f"{phase}Failed", message, observed_generation=generation)
    return conditions.put(found, ready, now)


def _finished(kind: str, status: Object) -> Object:
    if kind == TRANSFERRED:
        return conditions.build(kind, True, "Written")
    if kind == CONVERTED:
        converter = str((status.get("conversion") or {}).get("converter") or "None")
        changed = converter in (Converter.ISTHMUS, Converter.VIRT_V2V)
        message = "" if changed else "the guest was left as it is"
        return conditions.build(kind, changed, "Skipped" if converter == "None" else converter, message)
    verdict = str((status.get("proof") or {}).get("verdict") or "Skipped")
    state = {"Passed": "True", "Inconclusive": "Unknown"}.get(verdict, "False")
    return conditions.build(kind, state, verdict)
