"""Read a NetworkAttachmentDefinition's `spec.config` (CNI specification 1.0: one plugin or a list). Pure.

Only the type bridge is made here (its fields: containernetworking/plugins, main/bridge; IPAM: host-local, static).
What a cluster would do and we do not is refused with the reason (another main plugin) or told in `notes` (a chained
one).
"""

import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_network
from typing import Any

from isthmus.engine.node.net import names
from isthmus.engine.node.net.model import BridgeNetwork, Ipam, NetworkError, Route

MAX_CONFIG = 64 * 1024
_BRIDGE_TYPES = frozenset({"bridge", "cnv-bridge"})
_CHAINED = {
    "tuning": "",
    "portmap": "ports are reached at the guest's own address",
    "bandwidth": "no limit is set",
    "firewall": "no rules are made",
    "sbr": "no policy routes are made",
}


def parse(config: str, name: str) -> BridgeNetwork:
    """The network that `config` describes; `name` is the NAD's `namespace/name`.

    Raises NetworkError (InvalidNetworkConfig, UnsupportedNetwork) with the field and what would be right.
    """
    plugins = _plugins(config, name)
    main, chained = plugins[0], plugins[1:]
    kind = main.get("type")
    if kind not in _BRIDGE_TYPES:
        message = f"{name}: CNI type {kind!r} is not available on this node; it makes networks of type bridge"
        raise NetworkError("UnsupportedNetwork", message)
    bridge = str(main.get("bridge") or "cni0")
    if not names.is_link_name(bridge):
        raise _invalid(name, "bridge", f"{bridge!r} is no link name: 1 to 15 letters, digits, '-', '_' or '.'")
    tuned = next((p for p in chained if p.get("type") == "tuning" and p.get("mtu")), {})
    return BridgeNetwork(
        name=name,
        bridge=bridge,
        vlan=_integer(main, "vlan", name, 4094),
        mtu=_integer(tuned or main, "mtu", name, 65535),
        is_gateway=bool(main.get("isGateway") or main.get("isDefaultGateway")),
        is_default_gateway=bool(main.get("isDefaultGateway")),
        ip_masq=bool(main.get("ipMasq")),
        mac_spoof_check=bool(main.get("macspoofchk")),
        hairpin=bool(main.get("hairpinMode")),
        ipam=_ipam(main.get("ipam"), name),
        notes=tuple(_notes(main, chained)),
    )


def _plugins(config: str, name: str) -> list[Mapping[str, Any]]:
    if len(config) > MAX_CONFIG:
        raise _invalid(name, "config", f"{len(config)} characters: at most {MAX_CONFIG}")
    try:
        parsed = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise _invalid(
            name, "config", f"not JSON ({error}); an empty config names a file, which nodes here do not have"
        ) from None
    plugins = parsed.get("plugins", [parsed]) if isinstance(parsed, dict) else None
    if not isinstance(plugins, list) or not plugins or not all(isinstance(p, dict) for p in plugins):
        raise _invalid(name, "config", "expected a CNI configuration object, or one with a list of plugins")
    return plugins


def _notes(main: Mapping[str, Any], chained: list[Mapping[str, Any]]) -> list[str]:
    notes = []
    for plugin in chained:
        effect = _CHAINED.get(str(plugin.get("type")), "it is left out")
        if effect:
            notes.append(f"chained plugin {plugin.get('type')}: {effect}")
    if main.get("vlanTrunk"):
        notes.append("vlanTrunk: not available, the interface is untagged")
    ipam = main.get("ipam")
    if isinstance(ipam, Mapping) and ipam.get("type") not in (None, "host-local", "static", "whereabouts"):
        notes.append(f"ipam {ipam.get('type')}: left to a server on the network")
    return notes


def _ipam(raw: Any, name: str) -> Ipam | None:
    """None where the node gives no addresses: no IPAM, or a DHCP server on the network."""
    if not isinstance(raw, Mapping) or not raw:
        return None
    kind, dns = raw.get("type"), raw.get("dns")
    dns = dns if isinstance(dns, Mapping) else {}
    common = {
        "routes": tuple(_routes(raw, name)),
        "dns": tuple(map(str, _items(dns, "nameservers", name))),
        "search": tuple(map(str, _items(dns, "search", name))),
    }
    if kind == "static":
        return _static(raw, name, common)
    if kind in ("host-local", "whereabouts"):
        return _host_local(raw, name, common)
    return None


def _static(raw: Mapping[str, Any], name: str, common: dict[str, Any]) -> Ipam | None:
    entries = [entry for entry in _items(raw, "addresses", name) if isinstance(entry, Mapping)]
    fixed, gateway = [], None
    for entry in entries:
        text = str(entry.get("address", ""))
        if ":" in text:
            continue
        try:
            fixed.append(IPv4Interface(text))
        except ValueError:
            raise _invalid(name, "ipam.addresses", f"{text!r} is no address with a prefix, e.g. 10.10.0.5/24") from None
        gateway = gateway or _address(entry, "gateway", name)
    return Ipam(subnet=fixed[0].network, fixed=tuple(fixed), gateway=gateway, **common) if fixed else None


def _host_local(raw: Mapping[str, Any], name: str, common: dict[str, Any]) -> Ipam | None:
    """host-local's `ranges` (or its older flat form) and whereabouts' `range`; the first IPv4 range is used."""
    sets = _items(raw, "ranges", name) or _items(raw, "ipRanges", name) or [[raw]]
    flat = [entry for group in sets for entry in (group if isinstance(group, list) else [group])]
    for entry in flat:
        if not isinstance(entry, Mapping):
            raise _invalid(name, "ipam.ranges", "expected a list of lists of objects with a subnet")
        text = str(entry.get("subnet") or entry.get("range") or "")
        subnet = _network(text, name)
        if subnet is None:
            continue
        low, high = _address(entry, "rangeStart", name), _address(entry, "rangeEnd", name)
        low, high = low or _address(entry, "range_start", name), high or _address(entry, "range_end", name)
        gateway = _address(entry, "gateway", name)
        for field, address in (("rangeStart", low), ("rangeEnd", high), ("gateway", gateway)):
            if address is not None and address not in subnet:
                raise _invalid(name, f"ipam.{field}", f"{address} is not in {subnet}")
        return Ipam(subnet=subnet, first=low, last=high, gateway=gateway, **common)
    return None


def _network(text: str, name: str) -> IPv4Network | None:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise _invalid(name, "ipam.subnet", f"{text!r} is no subnet, e.g. 10.10.0.0/24") from None
    return network if isinstance(network, IPv4Network) else None


def _routes(raw: Mapping[str, Any], name: str) -> list[Route]:
    routes = []
    for entry in _items(raw, "routes", name):
        if not isinstance(entry, Mapping):
            raise _invalid(name, "ipam.routes", "expected objects with dst")
        if (to := _network(str(entry.get("dst", "")), name)) is not None:
            routes.append(Route(to, _address(entry, "gw", name)))
    return routes


def _address(raw: Mapping[str, Any], field: str, name: str) -> IPv4Address | None:
    text = raw.get(field)
    if not text or ":" in str(text):
        return None
    try:
        return IPv4Address(str(text).split("/", 1)[0])
    except ValueError:
        raise _invalid(name, f"ipam.{field}", f"{text!r} is no IPv4 address") from None


def _items(raw: Mapping[str, Any], field: str, name: str) -> list[Any]:
    """A list, or nothing where there is none."""
    value = raw.get(field) or []
    if not isinstance(value, list):
        raise _invalid(name, f"ipam.{field}", "expected a list")
    return value


def _integer(raw: Mapping[str, Any], field: str, name: str, most: int) -> int:
    value = raw.get(field) or 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _invalid(name, field, f"{value!r}: expected 0 to {most}")
    return value


def _invalid(name: str, field: str, what: str) -> NetworkError:
    return NetworkError("InvalidNetworkConfig", f"{name}: {field}: {what}")
