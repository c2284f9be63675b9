"""The rules of a VirtualMachineImport that its schema cannot hold: one source, one target a network, a spec that stays.

They are the CRD's own x-kubernetes-validations, which are not evaluated here, and more. An admission plugin (see
`plugins`).
"""

from typing import Any
from urllib.parse import urlsplit

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes, errors
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
IMPORTS = "virtualmachineimports.isthmus.dev"
KINDS = ("path", "url", "upload")
OF_URL = ("secretRef", "certConfigMap")
CHANGEABLE = "running"


def validate(spec: Object, old: Object | None) -> list[Cause]:
    """Everything that is wrong with a spec, or with its change. Pure; the schema has checked the types."""
    source = spec["source"]
    wrong = []
    if sum(source.get(kind) is not None for kind in KINDS) != 1:
        wrong.append(causes.invalid("spec.source", causes.OMITTED, "exactly one of path, url and upload must be set"))
    if source.get("url") is None and any(source.get(field) is not None for field in OF_URL):
        wrong.append(causes.invalid("spec.source", causes.OMITTED, "secretRef and certConfigMap go with url"))
    if "@" in urlsplit(source.get("url") or "").netloc:
        wrong.append(causes.invalid("spec.source.url", causes.OMITTED, "user and password go into a Secret: secretRef"))
    for index, network in enumerate(spec.get("networks") or ()):
        target = network["target"]
        if target.get("pod") is not None and target.get("multus") is not None:
            field = f"spec.networks[{index}].target"
            wrong.append(causes.invalid(field, causes.OMITTED, "only one of pod and multus may be set"))
    if old is not None:
        changed = [key for key in {*spec, *old} - {CHANGEABLE} if spec.get(key) != old.get(key)]
        why = f"cannot be changed: only spec.{CHANGEABLE} can; delete the import and make another"
        wrong += [causes.forbidden(f"spec.{key}", why) for key in sorted(changed)]
    return wrong


def _check(served: Served, new: Object, old: Object | None, context: WriteContext, _lookup: Lookup) -> None:
    if context.subresource or (old is not None and new["spec"] == old["spec"]):
        return
    if wrong := validate(new["spec"], old["spec"] if old else None):
        raise errors.invalid(served.kind.group, served.kind.kind, new["metadata"].get("name", ""), wrong)


PLUGINS = (Plugin("VirtualMachineImport", frozenset({IMPORTS}), validate=_check),)
