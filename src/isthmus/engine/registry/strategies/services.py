"""Services: cluster addresses and node ports, given out and kept (pkg/registry/core/service).

Which ones are taken is read from the Services themselves, so there is nothing to repair after a crash. The range is
that of the embedded home's service network.
"""

import ipaddress
import random
from collections.abc import Callable, Iterable
from typing import Any

from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes, names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
CLUSTER_RANGE = ipaddress.IPv4Network("10.43.0.0/16")
RESERVED = 10  # the first addresses: 10.43.0.1 is the API's own Service, 10.43.0.10 the cluster's DNS
NODE_PORTS = range(30000, 32768)
TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
HEADLESS = "None"


def _prepare(new: Object, old: Object | None, _context: WriteContext) -> None:
    spec = new["spec"] = dict(new.get("spec") or {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec.get("ports"):
        spec["ports"] = [_port(port) for port in spec["ports"]]
    if spec["type"] == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(field, None)
    else:
        if old is not None and old["spec"].get("type") != "ExternalName":
            spec.setdefault("clusterIP", old["spec"].get("clusterIP"))
            _keep_node_ports(spec, old["spec"])
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec["type"] in ("NodePort", "LoadBalancer"):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
    new.setdefault("status", {"loadBalancer": {}})


def _port(port: Object) -> Object:
    full = {"protocol": "TCP", **port}
    full.setdefault("targetPort", full.get("port"))
    return full


def _keep_node_ports(spec: Object, before: Object) -> None:
    """A port that is written without its node port keeps the one that it has."""
    if spec["type"] not in ("NodePort", "LoadBalancer"):
        return
    known = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or []}
    for port in spec.get("ports") or []:  # fresh copies, made by _prepare
        if not port.get("nodePort") and (kept := known.get((port.get("protocol"), port.get("port")))):
            port["nodePort"] = kept


def _validate(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    if context.subresource:
        return []
    spec, out = new["spec"], []
    if spec["type"] not in TYPES:
        out.append(causes.not_supported("spec.type", spec["type"], TYPES))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        out.append(causes.required("spec.externalName"))
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != HEADLESS:
        out.append(causes.required("spec.ports"))
    for index, port in enumerate(ports):
        out += _validate_port(port, f"spec.ports[{index}]", several=len(ports) > 1)
    before = (old or {}).get("spec") or {}
    if before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"] and spec["type"] != "ExternalName":
        out.append(causes.invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set"))
    return out


def _validate_port(port: Object, path: str, *, several: bool) -> list[Cause]:
    out, number, target = [], port.get("port"), port.get("targetPort")
    if not isinstance(number, int) or not 0 < number < 65536:
        out.append(causes.invalid(f"{path}.port", number, "must be between 1 and 65535, inclusive"))
    if isinstance(target, int) and not 0 < target < 65536:
        out.append(causes.invalid(f"{path}.targetPort", target, "must be between 1 and 65535, inclusive"))
    if several and not port.get("name"):
        out.append(causes.required(f"{path}.name"))
    elif port.get("name"):
        out += [causes.invalid(f"{path}.name", port["name"], c) for c in names.dns1123_label(port["name"])]
    if port["protocol"] not in ("SCTP", "TCP", "UDP"):
        out.append(causes.not_supported(f"{path}.protocol", port["protocol"], ("SCTP", "TCP", "UDP")))
    return out


def allocate(service: Object, others: Callable[[], Iterable[Object]]) -> list[Cause]:
    """Give a validated Service the addresses and ports that it lacks, in place; what cannot be had comes back.

    `others` are all Services but this one; they are only asked for when there is something to allocate.
    """
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return []
    ports = list(spec.get("ports") or []) if spec["type"] in ("NodePort", "LoadBalancer") else []
    specs = [other["spec"] for other in others()]
    wrong = _allocate_address(spec, {s.get("clusterIP") for s in specs})
    taken = {p.get("nodePort") for s in specs for p in s.get("ports") or []}
    for index, port in enumerate(ports):
        wrong += _allocate_node_port(port, f"spec.ports[{index}].nodePort", taken)
        taken.add(port.get("nodePort"))
    return wrong


def _allocate_address(spec: Object, taken: set[str | None]) -> list[Cause]:
    asked = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    wrong: list[Cause] = []
    if asked and asked != HEADLESS:
        problem = _problem(asked, taken)
        if problem:
            wrong.append(causes.invalid("spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {problem}"))
    elif not asked:
        size = CLUSTER_RANGE.num_addresses
        start = random.randrange(RESERVED + 1, size - 1)  # noqa: S311 - spread, not secret
        offsets = (RESERVED + 1 + (start + i) % (size - RESERVED - 2) for i in range(size))
        asked = next((a for o in offsets if (a := str(CLUSTER_RANGE[o])) not in taken), "")
        if not asked:
            return [causes.invalid("spec.clusterIPs", [], "failed to allocate a serviceIP: range is full")]
    spec["clusterIP"], spec["clusterIPs"] = asked, [asked]
    return wrong


def _problem(asked: str, taken: set[str | None]) -> str:
    try:
        inside = ipaddress.IPv4Address(asked) in CLUSTER_RANGE
    except ValueError:
        return "not a valid IP"
    if not inside:
        return f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {CLUSTER_RANGE}"
    return "provided IP is already allocated" if asked in taken else ""


def _allocate_node_port(port: Object, path: str, taken: set[int | None]) -> list[Cause]:
    asked = port.get("nodePort")
    if asked:
        if asked not in NODE_PORTS:
            listed = f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
            return [
                causes.invalid(
                    path, asked, f"provided port is not in the valid range. The range of valid ports is {listed}"
                )
            ]
        return [causes.invalid(path, asked, "provided port is already allocated")] if asked in taken else []
    free = next((p for p in NODE_PORTS if p not in taken), None)
    if free is None:
        return [causes.invalid(path, 0, "failed to allocate a nodePort: range is full")]
    port["nodePort"] = free
    return []


register("services", Strategy(name_check=names.dns1035_label, prepare=_prepare, validate=_validate, generation=False, status_metadata=True))  # fmt: skip  # noqa: E501
