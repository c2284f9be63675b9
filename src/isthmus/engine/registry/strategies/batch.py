"""Jobs, whose selector finds their own Pods only, made from the uid (pkg/registry/batch/job), and CronJobs."""

from typing import Any

from isthmus.engine.registry.strategies import immutable, podspec, workloads
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
JOBS, CRON_JOBS = "jobs.batch", "cronjobs.batch"
PREFIX = "batch.kubernetes.io/"
FIXED = ("spec.selector", "spec.template", "spec.completionMode", "spec.podFailurePolicy")


def _prepare(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is not None:
        return
    given = new.get("spec") or {}
    spec = new["spec"] = {"parallelism": 1, "podReplacementPolicy": _replacement(given), **given}
    if given.keys().isdisjoint(("completions", "parallelism")):
        spec["completions"] = 1
    workloads.complete_template(spec.get("template"))
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


def _replacement(spec: Object) -> str:
    """When a pod that ends is replaced: with a failure policy only once it has failed (pkg/apis/batch/v1)."""
    return "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"


def _prepare_cron_job(new: Object, old: Object | None, _context: WriteContext) -> None:
    if (spec := workloads.new_spec(new, old)) is not None:
        workloads.complete_template(((spec.get("jobTemplate") or {}).get("spec") or {}).get("template"))


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
    return wrong + podspec.validate(new["spec"]["template"].get("spec") or {}, "spec.template.spec")


register(JOBS, Strategy(prepare=_prepare, validate=_validate))
register(CRON_JOBS, Strategy(prepare=_prepare_cron_job))
