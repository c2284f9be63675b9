"""Columns of Services, endpoints, ingresses and network policies. Pure."""

from datetime import datetime
from typing import Any

from isthmus.kinds.columns import text

Object = dict[str, Any]


def service_cluster_ip(service: Object, _now: datetime) -> str:
    """CLUSTER-IP: the first one."""
    addresses = text.get(service, "spec", "clusterIPs") or []
    return (addresses[0] if addresses else text.get(service, "spec", "clusterIP")) or text.NONE


def _balancer(value: Object) -> list[str]:
    ingress = text.items(value, "status", "loadBalancer", "ingress")
    return sorted({str(i.get("ip") or i.get("hostname")) for i in ingress if i.get("ip") or i.get("hostname")})


def service_external_ip(service: Object, _now: datetime) -> str:
    """EXTERNAL-IP."""
    kind = text.get(service, "spec", "type") or "ClusterIP"
    external = list(text.get(service, "spec", "externalIPs") or ())
    if kind == "ExternalName":
        return text.get(service, "spec", "externalName") or ""
    if kind == "LoadBalancer":
        return ",".join(_balancer(service) + external) or "<pending>"
    return ",".join(external) or text.NONE


def service_ports(service: Object, _now: datetime) -> str:
    """PORT(S): "80:30080/TCP"."""
    parts = []
    for port in text.items(service, "spec", "ports"):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        parts.append(f"{port.get('port')}{node_port}/{port.get('protocol') or 'TCP'}")
    return ",".join(parts) or text.NONE


def endpoints(value: Object, _now: datetime) -> str:
    """ENDPOINTS of an Endpoints object: three of them."""
    found = []
    for subset in text.items(value, "subsets"):
        addresses = [str(a.get("ip", "")) for a in text.items(subset, "addresses")]
        ports = text.items(subset, "ports")
        found += [_join(ip, port.get("port")) for port in ports for ip in addresses] if ports else addresses
    return text.some(found, len(found)) if text.items(value, "subsets") else text.NONE


def _join(ip: str, port: Any) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def slice_endpoints(value: Object, _now: datetime) -> str:
    """ENDPOINTS of an EndpointSlice."""
    found = [str(a) for endpoint in text.items(value, "endpoints") for a in endpoint.get("addresses") or ()]
    return text.some(found, len(found)) or text.UNSET


def slice_ports(value: Object, _now: datetime) -> str:
    """PORTS of an EndpointSlice: numbers, or names of those without one."""
    found = [str(p.get("port") or p.get("name") or "*") for p in text.items(value, "ports")]
    return text.some(found, len(found)) or text.UNSET


def ingress_hosts(ingress: Object, _now: datetime) -> str:
    """HOSTS."""
    rules = text.items(ingress, "spec", "rules")
    hosts = [str(rule["host"]) for rule in rules[:3] if rule.get("host")]
    return text.some(hosts, len(rules)) if hosts else "*"


def ingress_ports(ingress: Object, _now: datetime) -> str:
    """PORTS."""
    return "80, 443" if text.items(ingress, "spec", "tls") else "80"


def ingress_class_parameters(value: Object, _now: datetime) -> str:
    """PARAMETERS of an IngressClass."""
    ref = text.get(value, "spec", "parameters")
    if not ref:
        return text.NONE
    group = f".{ref['apiGroup']}" if ref.get("apiGroup") else ""
    return f"{ref.get('kind', '')}{group}/{ref.get('name', '')}"


def address_parent(value: Object, _now: datetime) -> str:
    """PARENTREF of an IPAddress: "services/default/web"."""
    ref = text.get(value, "spec", "parentRef")
    if not ref:
        return text.NONE
    resource = f"{ref.get('resource', '')}.{ref['group']}" if ref.get("group") else str(ref.get("resource", ""))
    return "/".join(filter(None, (resource.lower(), ref.get("namespace"), ref.get("name"))))


FUNCTIONS = {
    "service.cluster_ip": service_cluster_ip,
    "service.external_ip": service_external_ip,
    "service.ports": service_ports,
    "service.selector": lambda value, _now: text.labels(text.get(value, "spec", "selector")),
    "endpoints.endpoints": endpoints,
    "endpointslice.endpoints": slice_endpoints,
    "endpointslice.ports": slice_ports,
    "ingress.class": lambda value, _now: text.get(value, "spec", "ingressClassName") or text.NONE,
    "ingress.hosts": ingress_hosts,
    "ingress.address": lambda value, _now: ",".join(_balancer(value)),
    "ingress.ports": ingress_ports,
    "ingressclass.parameters": ingress_class_parameters,
    "ipaddress.parent_ref": address_parent,
    "networkpolicy.pod_selector": lambda value, _now: text.selector(text.get(value, "spec", "podSelector")),
    "servicecidr.cidrs": lambda value, _now: ",".join(text.get(value, "spec", "cidrs") or ()),
}
