"""The PodSpec, in Pods and in the templates of workloads: defaults that depend on other fields, and what must hold.

Defaults that depend on nothing are data (kinds/tables/fields/kubernetes.yaml). Sources: Kubernetes, pkg/apis/core/v1
defaults.go, pkg/apis/core/validation. Called by: `core` for Pods, `workloads` and `batch` for templates.
"""

from collections.abc import Iterator
from typing import Any

from isthmus.machinery import causes, names, quantity
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("TCP", "UDP", "SCTP")


def complete(spec: Object) -> None:
    """Fill in, in place, what follows from other fields of a PodSpec in its schema's shape."""
    for volume in spec.get("volumes") or ():
        if volume.keys() == {"name"}:
            volume["emptyDir"] = {}
        for item in (volume.get("downwardAPI") or {}).get("items") or ():
            _name_version(item)
    for field in CONTAINERS:
        for container in spec.get(field) or ():
            _complete_container(container, host_network=bool(spec.get("hostNetwork")))


def _complete_container(container: Object, *, host_network: bool) -> None:
    if image := container.get("image"):
        container.setdefault("imagePullPolicy", "Always" if _is_latest(image) else "IfNotPresent")
    for port in container.get("ports") or () if host_network else ():
        if not port.get("hostPort"):
            port["hostPort"] = port["containerPort"]
    for variable in container.get("env") or ():
        _name_version(variable.get("valueFrom") or {})
    for action in _actions(container):
        if http := action.get("httpGet"):
            http.setdefault("path", "/")
            http.setdefault("scheme", "HTTP")


def _actions(container: Object) -> Iterator[Object]:
    """Probes and lifecycle hooks."""
    lifecycle = container.get("lifecycle") or {}
    of_container = (container.get(f"{name}Probe") for name in ("liveness", "readiness", "startup"))
    yield from filter(None, (*of_container, lifecycle.get("postStart"), lifecycle.get("preStop")))


def _is_latest(image: str) -> bool:
    """An image by the tag `latest`, said or meant, may be another one every time."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag == "latest" or (not tag and not digest)


def _name_version(source: Object) -> None:
    if reference := source.get("fieldRef"):
        reference.setdefault("apiVersion", "v1")


def validate(spec: Object, path: str) -> list[Cause]:
    """What is wrong with a PodSpec at `path`, beyond its schema."""
    wrong: list[Cause] = []
    if not spec.get("containers"):
        wrong.append(causes.required(f"{path}.containers"))
    wrong += _supported(spec, "restartPolicy", RESTART_POLICIES, path)
    volumes = _unique(spec.get("volumes") or (), f"{path}.volumes", wrong)
    seen: set[str] = set()
    for field in CONTAINERS:
        containers = spec.get(field) or ()
        seen |= _unique(containers, f"{path}.{field}", wrong, seen)
        for index, container in enumerate(containers):
            wrong += _validate_container(container, f"{path}.{field}[{index}]", volumes)
    return wrong


def _unique(items: Any, path: str, wrong: list[Cause], taken: set[str] | None = None) -> set[str]:
    """The names of the items, each a DNS label and the only one of its kind."""
    seen = set(taken or ())
    for index, item in enumerate(items):
        name, at = item.get("name") or "", f"{path}[{index}].name"
        if not name:
            wrong.append(causes.required(at))
        elif name in seen:
            wrong.append(causes.duplicate(at, name))
        else:
            wrong += [causes.invalid(at, name, detail) for detail in names.dns1123_label(name)]
        seen.add(name)
    return seen


def _validate_container(container: Object, path: str, volumes: set[str]) -> Iterator[Cause]:
    image = container.get("image") or ""
    if not image:
        yield causes.required(f"{path}.image")
    elif image.strip() != image:
        yield causes.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _supported(container, "imagePullPolicy", PULL_POLICIES, path)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield causes.not_found(f"{path}.volumeMounts[{index}].name", mount.get("name", ""))
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not 0 < number < 65536:
            detail = "must be between 1 and 65535, inclusive"
            yield causes.invalid(f"{path}.ports[{index}].containerPort", number, detail)
        yield from _supported(port, "protocol", PROTOCOLS, f"{path}.ports[{index}]")
    yield from _validate_resources(container.get("resources") or {}, f"{path}.resources")


def _supported(obj: Object, field: str, values: tuple[str, ...], path: str) -> list[Cause]:
    value = obj.get(field)
    return [] if value is None or value in values else [causes.not_supported(f"{path}.{field}", value, values)]


def _validate_resources(resources: Object, path: str) -> Iterator[Cause]:
    """Requests are at most the limits."""
    limits = resources.get("limits") or {}
    for name, asked in (resources.get("requests") or {}).items():
        limit = limits.get(name)
        try:
            if limit is not None and quantity.parse(asked) > quantity.parse(limit):
                detail = f"must be less than or equal to {name} limit of {limit}"
                yield causes.invalid(f"{path}.requests", str(asked), detail)
        except ValueError as error:
            yield causes.invalid(f"{path}.requests[{name}]", asked, str(error))
