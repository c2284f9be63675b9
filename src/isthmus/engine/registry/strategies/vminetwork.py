"""What KubeVirt refuses of a VMI's networks and interfaces (pkg/network/admitter; `vmispec` says how and why)."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from isthmus.machinery.errors import Cause

Object = dict[str, Any]
Found = list[Cause]
REQUIRED, DUPLICATE, UNSUPPORTED = "FieldValueRequired", "FieldValueDuplicate", "FieldValueNotSupported"
MODELS = frozenset(("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio"))
BINDINGS = ("masquerade", "bridge", "sriov", "passtBinding", "binding")
DISCONTINUED = {"slirp": "Slirp interface support", "passt": "Passt network binding", "macvtap": "Macvtap network binding"}  # fmt: skip  # noqa: E501
TYPES = ("pod", "multus", "resourceClaim")
STATES = ("", "absent", "down", "up")
BRIDGE_MAC = "02:00:00:00:00:00"  # of the bridge inside the launcher's network namespace
PRIVATE_OPTIONS = range(224, 255)  # DHCP option codes for private use (RFC 3942)
_is_name = re.compile(r"[A-Za-z0-9_-]+", re.ASCII).fullmatch
# What Go's net.ParseMAC takes: pairs by colon or hyphen, or groups of four by dot; then no more than six bytes.
_is_mac = re.compile(r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}", re.IGNORECASE).fullmatch  # fmt: skip  # noqa: E501
_is_long_mac = re.compile(
    r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){6}(?:(?:\1[0-9a-f]{2}){12})?"
    r"|[0-9a-f]{4}(?:\.[0-9a-f]{4}){3}(?:(?:\.[0-9a-f]{4}){6})?",
    re.IGNORECASE,
).fullmatch
_is_pci = re.compile(r"[\da-fA-F]{4}:[\da-fA-F]{2}:[\da-fA-F]{2}\.[0-7]", re.ASCII).fullmatch
_is_port_name = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII).fullmatch
_NOTHING: Mapping[str, Any] = {}


def is_pci_address(text: str) -> bool:
    """Whether it is a PCI address in full: 0000:81:01.0."""
    return _is_pci(text) is not None


def has_pod_network(spec: Object) -> bool:
    """Whether one of a spec's networks is the pod's; an instance that names none at all gets it by default."""
    listed = spec.get("networks") or []
    devices = spec["domain"].get("devices") or {}
    if not listed and not devices.get("interfaces"):
        return devices.get("autoattachPodInterface") is not False
    return any(network.get("pod") is not None for network in listed)


def networks(listed: list[Object], spec: Object, path: str, found: Found) -> None:
    """A row of vmispec.SPEC."""
    where = f"{path}.networks"
    wanted = {i.get("name") for i in (spec["domain"].get("devices") or {}).get("interfaces") or ()}
    seen: set[str] = set()
    pods, defaults = 0, 0
    for index, network in enumerate(listed):
        name, multus = network.get("name", ""), network.get("multus")
        kinds = sum(network.get(kind) is not None for kind in TYPES)
        if kinds != 1:
            message = "should have only one network type" if kinds else "should have a network type"
            found.append(Cause(f"{where}[{index}]", message, REQUIRED))
        if multus is not None:
            defaults += bool(multus.get("default"))
            if not multus.get("networkName"):
                found.append(Cause(f"{where}[{index}]", "CNI delegating plugin must have a networkName", REQUIRED))
        pods += network.get("pod") is not None
        if name in seen:
            message = f'Network with name "{name}" already exists, every network must have a unique name'
            found.append(Cause(f"{where}[{index}].name", message, DUPLICATE))
        seen.add(name)
        if name not in wanted:
            field = f"{where}[{index}].name"
            found.append(Cause(field, f"{field} '{name}' not found.", REQUIRED))
    _default_networks(pods, defaults, path, found)


def _default_networks(pods: int, defaults: int, path: str, found: Found) -> None:
    if pods > 1:
        field = f"{path}.interfaces"
        found.append(Cause(field, f"more than one interface is connected to a pod network in {field}", DUPLICATE))
    if defaults > 1:
        found.append(Cause(f"{path}.networks", "Multus CNI should only have one default network"))
    if pods and defaults:
        message = "Pod network cannot be defined when Multus default network is defined"
        found.append(Cause(f"{path}.networks", message))


def interfaces(listed: list[Object], spec: Object, path: str, found: Found) -> None:
    """A row of vmispec.DEVICES."""
    where = f"{path}.domain.devices.interfaces"
    known = {n.get("name"): n for n in spec.get("networks") or ()}
    seen: set[str] = set()
    for index, interface in enumerate(listed):
        name = interface.get("name", "")
        if name not in known:
            field = f"{where}[{index}].name"
            found.append(Cause(field, f"{field} '{name}' not found."))
        if name in seen:
            message = "Only one interface can be connected to one specific network"
            found.append(Cause(f"{where}[{index}].name", message, DUPLICATE))
        seen.add(name)
        network = known.get(name, _NOTHING)
        _binding(interface, network, where, index, found)
        _fields(interface, network, where, index, found)


def is_bound(interface: Object) -> bool:
    """Whether an interface says how it is connected."""
    return any(interface.get(kind) is not None for kind in BINDINGS)


def _binding(interface: Object, network: Mapping[str, Any], where: str, index: int, found: Found) -> None:
    if sum(interface.get(kind) is not None for kind in BINDINGS) != 1:
        name = interface.get("name", "")
        message = f"logical {name} interface must have exactly one binding method or binding plugin"
        found.append(Cause(f"{where}[{index}]", message))
        for kind, title in DISCONTINUED.items():
            if interface.get(kind) is not None:
                found.append(Cause(f"{where}[{index}].{kind}", f"{title} has been discontinued since v1.3"))
    on_pod = network.get("pod") is not None
    if interface.get("masquerade") is not None:
        if not on_pod:
            found.append(Cause(f"{where}[{index}].name", "Masquerade interface only implemented with pod network"))
        if interface.get("macAddress") == BRIDGE_MAC:
            message = "The requested MAC address is reserved for the in-pod bridge. Please choose another one."
            found.append(Cause(f"{where}[{index}].macAddress", message))
    elif interface.get("passtBinding") is not None and not on_pod:
        found.append(Cause(f"{where}[{index}].name", "PasstBinding interface only implemented with pod network"))


def _fields(interface: Object, network: Mapping[str, Any], where: str, index: int, found: Found) -> None:
    field, name = f"{where}[{index}]", interface.get("name", "")
    if not _is_name(name):
        message = (
            "Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)"
        )
        found.append(Cause(f"{field}.name", message))
    if (model := interface.get("model")) and model not in MODELS:
        message = f"interface {field}.name uses model {model} that is not supported."
        found.append(Cause(f"{field}.model", message, UNSUPPORTED))
    if (mac := interface.get("macAddress")) and not _is_mac(mac):
        how = "too long" if _is_long_mac(mac) else "malformed"
        found.append(Cause(f"{field}.macAddress", f"interface {field}.name has {how} MAC address ({mac})."))
    if (pci := interface.get("pciAddress")) and not _is_pci(pci):
        found.append(Cause(f"{field}.pciAddress", f"interface {field}.name has malformed PCI address ({pci})."))
    if interface.get("state"):
        _state(interface, network, field, found)
    if (ports := interface.get("ports")) and network.get("pod") is not None:
        _ports(ports, field, found)
    if (options := interface.get("dhcpOptions")) is not None:
        _dhcp(options, field, where, found)


def _state(interface: Object, network: Mapping[str, Any], field: str, found: Found) -> None:
    name, state = interface.get("name", ""), interface["state"]
    if state not in STATES:
        message = f"logical {name} interface state value is unsupported: {state}"
        found.append(Cause(f"{field}.state", message))
    if interface.get("sriov") is not None and state in ("down", "up"):
        message = f'"{name}" interface\'s state "{state}" is not supported for SR-IOV NICs'
        found.append(Cause(f"{field}.state", message))
    if state != "absent":
        return
    if interface.get("bridge") is None:
        message = f'"{name}" interface\'s state "{state}" is supported only for bridge binding'
        found.append(Cause(f"{field}.state", message))
    if network.get("pod") is not None or (network.get("multus") or {}).get("default"):
        message = f'"{name}" interface\'s state "{state}" is not supported on default networks'
        found.append(Cause(f"{field}.state", message))


def _ports(ports: list[Object], field: str, found: Found) -> None:
    seen: set[str] = set()
    for position, port in enumerate(ports):
        where, name, number = f"{field}.ports[{position}]", port.get("name") or "", port.get("port") or 0
        if name in seen:
            found.append(Cause(f"{where}.name", f"Duplicate name of the port: {name}", DUPLICATE))
        if name and not (_is_port_name(name) and len(name) <= 15):
            found.append(Cause(f"{where}.name", f"Invalid name of the port: {name}"))
        if name:
            seen.add(name)
        if number == 0:
            found.append(Cause(f"{where}.port", "Port field is mandatory.", REQUIRED))
        elif not 0 < number < 65536:
            found.append(Cause(f"{where}.port", "Port field must be in range 0 < x < 65536."))
        if (port.get("protocol") or "TCP") not in ("TCP", "UDP"):
            found.append(Cause(f"{where}.protocol", "Unknown protocol, only TCP or UDP allowed"))


def _dhcp(options: Object, field: str, where: str, found: Found) -> None:
    codes = [option.get("option") for option in options.get("privateOptions") or ()]
    spec = where.removesuffix(".domain.devices.interfaces")
    if len(set(codes)) < len(codes):
        message = "Found Duplicates: you have provided duplicate DHCPPrivateOptions"
        found.append(Cause(spec, message))
    if any(code not in PRIVATE_OPTIONS for code in codes):
        message = "provided DHCPPrivateOptions are out of range, must be in range 224 to 254"
        found.append(Cause(spec, message))
    for index, server in enumerate(options.get("ntpServers") or ()):
        if not _is_ipv4(server):
            message = "NTP servers must be a list of valid IPv4 addresses."
            found.append(Cause(f"{field}.dhcpOptions.ntpServers[{index}]", message))


def _is_ipv4(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is not None
