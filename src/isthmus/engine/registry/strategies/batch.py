"""Jobs: the selector that finds a Job's Pods and nobody else's, made from its uid (pkg/registry/batch/job)."""

from typing import Any

from isthmus.engine.registry.strategies import immutable
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
JOBS = "jobs.batch"
PREFIX = "batch.kubernetes.io/"
FIXED = ("spec.selector", "spec.template", "spec.completionMode", "spec.podFailurePolicy")
DEFAULTS = {"backoffLimit": 6, "completionMode": "NonIndexed", "parallelism": 1, "suspend": False}


def _prepare(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is not None:
        return
    given = new.get("spec") or {}
    spec = new["spec"] = {**DEFAULTS, **given}
    if given.keys().isdisjoint(("completions", "parallelism")):
        spec["completions"] = 1
    if spec.get("manualSelector") or not isinstance(template := spec.get("template"), dict):
        return
    uid, name = new["metadata"]["uid"], new["metadata"]["name"]
    own = {f"{prefix}{key}": v for prefix in ("", PREFIX) for key, v in (("controller-uid", uid), ("job-name", name))}
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **own}
    spec["template"] = {**template, "metadata": metadata}
    selector = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), f"{PREFIX}controller-uid": uid}
    spec["selector"] = selector


def _validate(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    wrong = immutable.changed(FIXED, new, old) if old is not None else []
    restart = (new["spec"]["template"].get("spec") or {}).get("restartPolicy")
    if restart not in ("OnFailure", "Never"):
        field = "spec.template.spec.restartPolicy"
        if restart in (None, "", "Always"):
            message = 'Required value: valid values: "OnFailure", "Never"'
            wrong.append(Cause(field, message, "FieldValueRequired"))
        else:
            wrong.append(causes.not_supported(field, restart, ("OnFailure", "Never")))
    return wrong


register(JOBS, Strategy(prepare=_prepare, validate=_validate))
