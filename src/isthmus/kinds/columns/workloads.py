"""Columns of what makes pods: apps, batch, autoscaling, policy. Pure."""

from datetime import datetime
from typing import Any

from isthmus.kinds.columns import age, text

Object = dict[str, Any]

_METRIC_FIELDS = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _template(value: Object) -> Any:
    return text.get(value, "spec", "template", "spec")


def replicas_ready(value: Object, _now: datetime) -> str:
    """READY of a Deployment or StatefulSet: "2/3". Unset replicas are one, as their defaulting has it."""
    wanted = text.get(value, "spec", "replicas")
    return f"{text.get(value, 'status', 'readyReplicas') or 0}/{1 if wanted is None else wanted}"


def controller(value: Object, _now: datetime) -> str:
    """CONTROLLER of a ControllerRevision: "statefulset.apps/web"."""
    for owner in text.items(value, "metadata", "ownerReferences"):
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = f"{owner.get('kind', '')}.{group}" if group else owner.get("kind", "")
            return f"{kind.lower()}/{owner.get('name', '')}"
    return text.NONE


def job_status(job: Object, _now: datetime) -> str:
    """STATUS: the condition that decides, in order of weight."""

    def holds(kind: str) -> bool:
        return bool(text.condition(job, kind).get("status") == "True")

    if holds("Complete"):
        return "Complete"
    if holds("Failed"):
        return "Failed"
    if text.get(job, "metadata", "deletionTimestamp"):
        return "Terminating"
    return next((kind for kind in ("Suspended", "FailureTarget") if holds(kind)), "Running")


def job_completions(job: Object, _now: datetime) -> str:
    """COMPLETIONS: "0/1", or "0/1 of 3" for a work queue of three pods."""
    succeeded = text.get(job, "status", "succeeded") or 0
    completions, parallelism = text.get(job, "spec", "completions"), text.get(job, "spec", "parallelism") or 0
    if completions is not None:
        return f"{succeeded}/{completions}"
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def job_duration(job: Object, now: datetime) -> str:
    """DURATION: from start to completion, or until now."""
    start = age.parse(text.get(job, "status", "startTime"))
    if start is None:
        return ""
    end = age.parse(text.get(job, "status", "completionTime"))
    return age.human((end or now) - start)


def cronjob_suspend(value: Object, _now: datetime) -> str:
    """SUSPEND."""
    suspend = text.get(value, "spec", "suspend")
    return text.UNSET if suspend is None else str(bool(suspend))


def cronjob_last_schedule(value: Object, now: datetime) -> str:
    """LAST SCHEDULE."""
    last = text.get(value, "status", "lastScheduleTime")
    return age.since(last, now) if last else text.NONE


def _cron_template(value: Object) -> Any:
    return text.get(value, "spec", "jobTemplate", "spec", "template", "spec")


def autoscaler_reference(value: Object, _now: datetime) -> str:
    """REFERENCE: "Deployment/web"."""
    target = text.get(value, "spec", "scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def autoscaler_min_pods(value: Object, _now: datetime) -> str:
    """MINPODS."""
    least = text.get(value, "spec", "minReplicas")
    return text.UNSET if least is None else str(least)


def autoscaler_targets(value: Object, _now: datetime) -> str:
    """TARGETS: "cpu: 10%/80%"; of v1 as of v2."""
    spec, status = value.get("spec") or {}, value.get("status") or {}
    if (target := spec.get("targetCPUUtilizationPercentage")) is not None:
        current = status.get("currentCPUUtilizationPercentage")
        return f"cpu: {'<unknown>' if current is None else f'{current}%'}/{target}%"
    metrics, current_metrics = text.items(spec, "metrics"), text.items(status, "currentMetrics")
    parts = [_metric(metric, dict(enumerate(current_metrics)).get(i, {})) for i, metric in enumerate(metrics)]
    if not parts:
        return text.NONE
    shown = ", ".join(parts[:2])
    return f"{shown} + {len(parts) - 2} more..." if len(parts) > 2 else shown


def _metric(metric: Object, status: Object) -> str:
    kind = metric.get("type", "")
    field = _METRIC_FIELDS.get(kind)
    if field is None:
        return "<unknown type>"
    source, current = metric.get(field) or {}, text.get(status, field, "current") or {}
    target = source.get("target") or {}
    prefix = f"{source.get('name', '')}: " if kind in ("Resource", "ContainerResource") else ""
    if target.get("averageValue") is not None:
        suffix = " (avg)" if kind in ("External", "Object") else ""
        return f"{prefix}{current.get('averageValue') or '<unknown>'}/{target['averageValue']}{suffix}"
    if prefix:
        used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        shown = "<unknown>" if used is None else f"{used}%"
        return f"{prefix}{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{current.get('value') or '<unknown>'}/{target.get('value', '')}"


def _number(*keys: str) -> Any:
    """A number that Kubernetes declares as a column of strings: 0 where it is unset."""
    return lambda value, _now: text.get(value, *keys) or 0


def _or_not_applicable(*keys: str) -> Any:
    def function(value: Object, _now: datetime) -> str:
        found = text.get(value, *keys)
        return "N/A" if found is None else str(found)

    return function


FUNCTIONS = {
    "replicas.ready": replicas_ready,
    "deployment.updated": _number("status", "updatedReplicas"),
    "deployment.available": _number("status", "availableReplicas"),
    "controllerrevision.revision": _number("revision"),
    "horizontalpodautoscaler.max_pods": _number("spec", "maxReplicas"),
    "horizontalpodautoscaler.replicas": _number("status", "currentReplicas"),
    "template.containers": lambda value, _now: text.containers(_template(value)),
    "template.images": lambda value, _now: text.images(_template(value)),
    "selector": lambda value, _now: text.selector(text.get(value, "spec", "selector")),
    "replicationcontroller.selector": lambda value, _now: text.labels(text.get(value, "spec", "selector")),
    "podtemplate.containers": lambda value, _now: text.containers(text.get(value, "template", "spec")),
    "podtemplate.images": lambda value, _now: text.images(text.get(value, "template", "spec")),
    "podtemplate.labels": lambda value, _now: text.labels(text.get(value, "template", "metadata", "labels")),
    "daemonset.node_selector": lambda value, _now: text.labels(text.get(_template(value), "nodeSelector")),
    "controllerrevision.controller": controller,
    "job.status": job_status,
    "job.completions": job_completions,
    "job.duration": job_duration,
    "cronjob.timezone": lambda value, _now: text.get(value, "spec", "timeZone") or text.NONE,
    "cronjob.suspend": cronjob_suspend,
    "cronjob.active": lambda value, _now: len(text.items(value, "status", "active")),
    "cronjob.last_schedule": cronjob_last_schedule,
    "cronjob.containers": lambda value, _now: text.containers(_cron_template(value)),
    "cronjob.images": lambda value, _now: text.images(_cron_template(value)),
    "cronjob.selector": lambda value, _now: text.selector(text.get(value, "spec", "jobTemplate", "spec", "selector")),
    "horizontalpodautoscaler.reference": autoscaler_reference,
    "horizontalpodautoscaler.targets": autoscaler_targets,
    "horizontalpodautoscaler.min_pods": autoscaler_min_pods,
    "poddisruptionbudget.min_available": _or_not_applicable("spec", "minAvailable"),
    "poddisruptionbudget.max_unavailable": _or_not_applicable("spec", "maxUnavailable"),
}
