"""CustomResourceDefinitions: names completed, schemas checked, conditions written at once."""

from typing import Any

from isthmus.engine.registry.strategies import crdrules, immutable
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import celrules, structuralschema
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
FIXED = ("spec.group", "spec.scope", "spec.names.plural", "spec.names.kind")
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def _prepare(new: Object, old: Object | None, context: WriteContext) -> None:
    spec = new.get("spec") or {}
    kind = (spec.get("names") or {}).get("kind", "")
    names = {"singular": kind.lower(), "listKind": f"{kind}List", **(spec.get("names") or {})}
    new["spec"] = {"conversion": {"strategy": "None"}, **spec, "names": names}
    finalizers = new["metadata"].get("finalizers") or []
    if old is None and CLEANUP not in finalizers:
        new["metadata"]["finalizers"] = [*finalizers, CLEANUP]
    if context.subresource == "":
        new["status"] = _status(new, (old or {}).get("status") or {})


def _status(crd: Object, before: Object) -> Object:
    now = clock.timestamp()
    known = {c["type"]: c for c in before.get("conditions", [])}
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    versions = crd["spec"].get("versions") or []
    storage = [v["name"] for v in versions if v.get("storage")]
    stored = before.get("storedVersions") or []
    others = [c for c in before.get("conditions", []) if c["type"] not in ("NamesAccepted", "Established")]
    return {
        "conditions": [*(known.get(str(c["type"]), c) for c in conditions), *others],
        "acceptedNames": crd["spec"]["names"],
        "storedVersions": stored + [v for v in storage if v not in stored],
    }


def _validate(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    spec, causes = new["spec"], immutable.changed(FIXED, new, old) if old is not None else []
    wanted = f"{spec['names'].get('plural', '')}.{spec.get('group', '')}"
    if new["metadata"]["name"] != wanted:
        causes.append(
            Cause(
                "metadata.name", f'Invalid value: "{new["metadata"]["name"]}": must be spec.names.plural+"."+spec.group'
            )
        )
    causes += crdrules.check(new, old)
    versions = spec.get("versions") or []
    if sum(bool(v.get("storage")) for v in versions) != 1:
        causes.append(Cause("spec.versions", "Invalid value: must have exactly one version marked as storage version"))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            causes.append(Cause(path, "Required value: schemas are required", "FieldValueRequired"))
        else:
            wrong = structuralschema.check_structural(schema, path)
            causes += wrong or ([] if context.internal else celrules.check(schema, path))
    return causes


def _mark_terminating(crd: Object) -> None:
    status = crd.setdefault("status", {})
    why = {"reason": "InstanceDeletionInProgress", "message": "CustomResource deletion is in progress"}
    condition = {"type": "Terminating", "status": "True", "lastTransitionTime": clock.timestamp(), **why}
    if not any(c.get("type") == "Terminating" for c in status.get("conditions") or ()):
        status["conditions"] = [*(status.get("conditions") or ()), condition]


register(
    "customresourcedefinitions.apiextensions.k8s.io",
    Strategy(prepare=_prepare, validate=_validate, mark_deleted=_mark_terminating),
)
