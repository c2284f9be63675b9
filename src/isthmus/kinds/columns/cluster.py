"""Columns of Nodes, Events, quotas, access control and of the API's own objects. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from isthmus.kinds.columns import age, text

Object = dict[str, Any]
Function = Callable[[Object, datetime], Any]

_ROLE_PREFIX = "node-role.kubernetes.io/"


def node_status(node: Object, _now: datetime) -> str:
    """STATUS: "Ready", "NotReady,SchedulingDisabled", "Unknown" if it never reported."""
    ready = text.condition(node, "Ready").get("status")
    parts = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if text.get(node, "spec", "unschedulable"):
        parts.append("SchedulingDisabled")
    return ",".join(parts)


def node_roles(node: Object, _now: datetime) -> str:
    """ROLES, out of the node's labels."""
    roles = set()
    for key, value in (text.get(node, "metadata", "labels") or {}).items():
        if key.startswith(_ROLE_PREFIX) and key != _ROLE_PREFIX:
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or text.NONE


def _node_address(kind: str) -> Function:
    def function(node: Object, _now: datetime) -> str:
        addresses = text.items(node, "status", "addresses")
        return next((str(a.get("address")) for a in addresses if a.get("type") == kind), text.NONE)

    return function


def _node_info(field: str) -> Function:
    return lambda node, _now: text.get(node, "status", "nodeInfo", field) or age.UNKNOWN


def event_first_seen(event: Object, now: datetime) -> str:
    """FIRST SEEN. Events of both groups: events.k8s.io calls the field deprecatedFirstTimestamp."""
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    return age.since(first, now)


def event_last_seen(event: Object, now: datetime) -> str:
    """LAST SEEN: of a series, when it was last observed."""
    if (series := event.get("series")) is not None:
        return age.since(text.get(series, "lastObservedTime"), now)
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp")
    return age.since(last, now) if last else event_first_seen(event, now)


def event_count(event: Object, _now: datetime) -> int:
    """COUNT."""
    if (series := event.get("series")) is not None:
        return int(text.get(series, "count") or 0)
    return int(event.get("count") or event.get("deprecatedCount") or 1)


def event_object(event: Object, _now: datetime) -> str:
    """OBJECT: "pod/web-0"."""
    target = event.get("involvedObject") or event.get("regarding") or {}
    kind = str(target.get("kind", "")).lower()
    return f"{kind}/{target['name']}" if target.get("name") else kind


def event_subobject(event: Object, _now: datetime) -> str:
    """SUBOBJECT: the part of the object, such as "spec.containers{web}"."""
    target = event.get("involvedObject") or event.get("regarding") or {}
    return str(target.get("fieldPath") or "")


def event_source(event: Object, _now: datetime) -> str:
    """SOURCE: component and host."""
    source = event.get("source") or event.get("deprecatedSource") or {}
    component = source.get("component") or event.get("reportingComponent") or event.get("reportingController") or ""
    instance = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else component


def event_message(event: Object, _now: datetime) -> str:
    """MESSAGE."""
    return str(event.get("message") or event.get("note") or "").strip()


def _quota(limits: bool) -> Function:
    def function(quota: Object, _now: datetime) -> str:
        hard, used = text.get(quota, "status", "hard") or {}, text.get(quota, "status", "used") or {}
        names = [name for name in sorted(hard) if name.startswith("limits.") is limits]
        return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)

    return function


def _subjects(kind: str) -> Function:
    def function(binding: Object, _now: datetime) -> str:
        found = [s for s in text.items(binding, "subjects") if s.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in found)
        return ", ".join(str(s.get("name", "")) for s in found)

    return function


def binding_role(binding: Object, _now: datetime) -> str:
    """ROLE: "ClusterRole/admin"."""
    role = binding.get("roleRef") or {}
    return f"{role.get('kind', '')}/{role.get('name', '')}"


def certificate_condition(request: Object, _now: datetime) -> str:
    """CONDITION: "Approved,Issued"."""
    kinds = {c.get("type") for c in text.items(request, "status", "conditions")}
    parts = ["Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"]
    if "Failed" in kinds:
        parts.append("Failed")
    if text.get(request, "status", "certificate"):
        parts.append("Issued")
    return ",".join(parts)


def certificate_duration(request: Object, _now: datetime) -> str:
    """REQUESTEDDURATION."""
    seconds = text.get(request, "spec", "expirationSeconds")
    return text.NONE if seconds is None else age.human(timedelta(seconds=seconds))


def component_status(value: Object, _now: datetime) -> str:
    """STATUS of a ComponentStatus."""
    healthy = next((c for c in text.items(value, "conditions") if c.get("type") == "Healthy"), None)
    return "Unknown" if healthy is None else "Healthy" if healthy.get("status") == "True" else "Unhealthy"


def _component(field: str) -> Function:
    def function(value: Object, _now: datetime) -> str:
        found = (c for c in text.items(value, "conditions") if c.get("type") == "Healthy")
        return str(text.get(next(found, None), field) or "")

    return function


def apiservice_service(value: Object, _now: datetime) -> str:
    """SERVICE: "Local" if the API server itself serves the group."""
    service = text.get(value, "spec", "service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def apiservice_available(value: Object, _now: datetime) -> str:
    """AVAILABLE: with the reason if it is not."""
    available = text.condition(value, "Available")
    status = available.get("status") or "Unknown"
    return f"{status} ({available['reason']})" if status != "True" and available.get("reason") else status


def policy_param_kind(value: Object, _now: datetime) -> str:
    """PARAMKIND of an admission policy."""
    kind = text.get(value, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else text.UNSET


def policy_param_ref(value: Object, _now: datetime) -> str:
    """PARAMREF of a policy's binding."""
    ref = text.get(value, "spec", "paramRef") or {}
    if name := ref.get("name"):
        return f"{ref.get('namespace') or '*'}/{name}"
    return text.selector(ref["selector"]) if ref.get("selector") else text.UNSET


def missing_priority_level(value: Object, _now: datetime) -> str:
    """MISSINGPL."""
    return text.condition(value, "Dangling").get("status") or "?"


def _limited(*keys: str) -> Function:
    def function(value: Object, _now: datetime) -> Any:
        found = text.get(value, "spec", "limited", *keys)
        return text.NONE if found is None else found

    return function


def resource_claim_state(claim: Object, _now: datetime) -> str:
    """STATE: "allocated,reserved"."""
    states = ["deleted"] if text.get(claim, "metadata", "deletionTimestamp") else []
    if text.get(claim, "status", "allocation") is not None:
        states.append("allocated")
        states += ["reserved"] if text.items(claim, "status", "reservedFor") else []
    elif not states:
        states.append("pending")
    return ",".join(states)


def created_at(value: Object, _now: datetime) -> str:
    """CREATED AT, as kinds without columns of their own have it."""
    return text.get(value, "metadata", "creationTimestamp") or ""


_QUEUING = ("limitResponse", "queuing")
FUNCTIONS: dict[str, Function] = {
    "age": lambda value, now: age.since(text.get(value, "metadata", "creationTimestamp"), now),
    "created_at": created_at,
    "node.status": node_status,
    "node.roles": node_roles,
    "node.internal_ip": _node_address("InternalIP"),
    "node.external_ip": _node_address("ExternalIP"),
    "node.os_image": _node_info("osImage"),
    "node.kernel_version": _node_info("kernelVersion"),
    "node.container_runtime": _node_info("containerRuntimeVersion"),
    "event.first_seen": event_first_seen,
    "event.last_seen": event_last_seen,
    "event.count": event_count,
    "event.object": event_object,
    "event.subobject": event_subobject,
    "event.source": event_source,
    "event.message": event_message,
    "resourcequota.request": _quota(limits=False),
    "resourcequota.limit": _quota(limits=True),
    "rolebinding.role": binding_role,
    "rolebinding.users": _subjects("User"),
    "rolebinding.groups": _subjects("Group"),
    "rolebinding.service_accounts": _subjects("ServiceAccount"),
    "certificatesigningrequest.signer": lambda value, _now: text.get(value, "spec", "signerName") or text.NONE,
    "certificatesigningrequest.duration": certificate_duration,
    "certificatesigningrequest.condition": certificate_condition,
    "componentstatus.status": component_status,
    "componentstatus.message": _component("message"),
    "componentstatus.error": _component("error"),
    "apiservice.service": apiservice_service,
    "apiservice.available": apiservice_available,
    "admissionpolicy.mutations": lambda value, _now: len(text.items(value, "spec", "mutations")),
    "admissionpolicy.validations": lambda value, _now: len(text.items(value, "spec", "validations")),
    "admissionpolicy.param_kind": policy_param_kind,
    "admissionpolicy.param_ref": policy_param_ref,
    "webhookconfiguration.webhooks": lambda value, _now: len(text.items(value, "webhooks")),
    "flowschema.precedence": lambda value, _now: text.get(value, "spec", "matchingPrecedence") or 0,
    "flowschema.distinguisher": lambda v, _now: text.get(v, "spec", "distinguisherMethod", "type") or text.NONE,
    "flowschema.missing_priority_level": missing_priority_level,
    "prioritylevel.shares": _limited("nominalConcurrencyShares"),
    "prioritylevel.queues": _limited(*_QUEUING, "queues"),
    "prioritylevel.hand_size": _limited(*_QUEUING, "handSize"),
    "prioritylevel.queue_length": _limited(*_QUEUING, "queueLengthLimit"),
    "resourceclaim.state": resource_claim_state,
    "configmap.data": lambda value, _now: len(value.get("data") or ()) + len(value.get("binaryData") or ()),
    "secret.data": lambda value, _now: len(value.get("data") or ()),
}
