"""How printer columns word what several kinds have: labels, selectors, containers, lists that are too long. Pure."""

from typing import Any

Object = dict[str, Any]

NONE = "<none>"
UNSET = "<unset>"


def get(value: Any, *keys: str) -> Any:
    """What lies under `keys`, None where there is nothing."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def items(value: Any, *keys: str) -> list[Any]:
    """The objects of a list under `keys`; none where there is no list."""
    found = get(value, *keys)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def condition(value: Object, kind: str) -> Object:
    """The condition of that type in the object's status, or {}."""
    return next((c for c in items(value, "status", "conditions") if c.get("type") == kind), {})


def labels(value: Any) -> str:
    """labels.FormatLabels: "a=1,b=2" in order, "<none>" without any."""
    if not isinstance(value, dict) or not value:
        return NONE
    return ",".join(f"{key}={value[key]}" for key in sorted(value))


def selector(value: Any) -> str:
    """metav1.FormatLabelSelector of a LabelSelector."""
    wanted = {"In": "in", "NotIn": "notin"}
    parts = [(key, f"{key}={text}") for key, text in (get(value, "matchLabels") or {}).items()]
    for row in items(value, "matchExpressions"):
        key, operator = str(row.get("key", "")), row.get("operator")
        if operator in wanted:
            values = ",".join(sorted(map(str, row.get("values") or ())))
            parts.append((key, f"{key} {wanted[operator]} ({values})"))
        else:
            parts.append((key, f"!{key}" if operator == "DoesNotExist" else key))
    return ",".join(text for _, text in sorted(parts)) or NONE


def containers(pod_spec: Any) -> str:
    """Names of the containers."""
    return ",".join(str(c.get("name", "")) for c in items(pod_spec, "containers"))


def images(pod_spec: Any) -> str:
    """Images of the containers."""
    return ",".join(str(c.get("image", "")) for c in items(pod_spec, "containers"))


def some(parts: list[str], total: int, limit: int = 3) -> str:
    """The first `limit` of `total` parts, and how many more there are."""
    text = ",".join(parts[:limit])
    return f"{text} + {total - limit} more..." if total > limit else text
