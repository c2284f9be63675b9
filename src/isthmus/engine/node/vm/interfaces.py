"""The network cards of a VMI: what to ask of the node's networks, and the machine's cards from their answer. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from isthmus.engine.node.net.model import BridgeNetwork, DhcpOptions, Nic, NicRequest, PodNetwork, Port
from isthmus.engine.node.vm.errors import SpecError
from isthmus.engine.node.vm.machine import Interface

Object = dict[str, Any]

MODELS = ("virtio", "e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3", "igb")
ACPI_SLOTS = "isthmus.dev/nic-acpi-slot"  # JSON {"<interface>": 192}: the guest's udev then says `ens192`
BINDINGS = ("masquerade", "bridge")


def list_interfaces(spec: Object) -> list[tuple[Object, Object]]:
    """(interface, network) pairs. Without any, and unless turned off, the pod network by masquerade."""
    devices = spec["domain"].get("devices") or {}
    networks = {network["name"]: network for network in spec.get("networks") or []}
    interfaces = [nic for nic in devices.get("interfaces") or [] if nic.get("state") != "absent"]
    if not interfaces and not networks and devices.get("autoattachPodInterface") is not False:
        return [({"name": "default", "masquerade": {}}, {"name": "default", "pod": {}})]
    for nic in interfaces:
        if nic["name"] not in networks:
            raise SpecError(f"spec.domain.devices.interfaces[{nic['name']}]", "no network has that name")
    return [(nic, networks[nic["name"]]) for nic in interfaces]


def _binding(nic: Object) -> str:
    for binding in BINDINGS:
        if nic.get(binding) is not None:
            return binding
    if (plugin := (nic.get("binding") or {}).get("name")) or any(key in nic for key in ("sriov", "passtBinding")):
        raise SpecError(
            f"spec.domain.devices.interfaces[{nic['name']}]", f"binding {plugin or 'sriov/passt'} is not supported here"
        )
    return "masquerade"


def attachment_names(vmi: Object) -> list[str]:
    """`namespace/name` of every NetworkAttachmentDefinition that the VMI names."""
    return [
        qualified_name(network["multus"]["networkName"], vmi["metadata"]["namespace"])
        for _, network in list_interfaces(vmi["spec"])
        if "multus" in network
    ]


def qualified_name(name: str, namespace: str) -> str:
    """A multus network name with its namespace."""
    return name if "/" in name else f"{namespace}/{name}"


def build_requests(vmi: Object, attachments: Mapping[str, BridgeNetwork]) -> list[NicRequest]:
    """What to ask of `net.network`; `attachments` by `namespace/name`. Raises SpecError."""
    spec = vmi["spec"]
    requests = []
    for nic, network in list_interfaces(spec):
        target = _network(network, vmi["metadata"]["namespace"], attachments)
        requests.append(
            NicRequest(
                name=nic["name"],
                binding=_binding(nic) if isinstance(target, PodNetwork) else "bridge",
                network=target,
                mac=str(nic.get("macAddress") or "").lower().replace("-", ":"),
                ports=tuple(
                    Port(int(port["port"]), str(port.get("protocol") or "TCP")) for port in nic.get("ports") or []
                ),
                dhcp=_dhcp(nic.get("dhcpOptions") or {}),
                model=str(nic.get("model") or "virtio"),
                queues=_queues(spec, nic),
            )
        )
    return requests


def _network(network: Object, namespace: str, attachments: Mapping[str, BridgeNetwork]) -> PodNetwork | BridgeNetwork:
    if "multus" not in network:
        return PodNetwork(str((network.get("pod") or {}).get("vmNetworkCIDR") or ""))
    name = qualified_name(network["multus"]["networkName"], namespace)
    if name not in attachments:
        raise SpecError(f"spec.networks[{network['name']}]", f"there is no NetworkAttachmentDefinition {name}")
    return attachments[name]


def _dhcp(options: Object) -> DhcpOptions:
    return DhcpOptions(
        boot_file_name=str(options.get("bootFileName") or ""),
        tftp_server_name=str(options.get("tftpServerName") or ""),
        ntp_servers=tuple(options.get("ntpServers") or ()),
        private={int(entry["option"]): str(entry["value"]) for entry in options.get("privateOptions") or ()},
    )


def _queues(spec: Object, nic: Object) -> int:
    """One queue for each CPU if that is asked for; only virtio cards have more than one."""
    domain = spec["domain"]
    if not (domain.get("devices") or {}).get("networkInterfaceMultiqueue") or nic.get("model", "virtio") != "virtio":
        return 1
    cpu = domain.get("cpu") or {}
    return min(8, int(cpu.get("sockets") or 1) * int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1))


def _acpi_slots(vmi: Object) -> dict[str, int]:
    text = (vmi["metadata"].get("annotations") or {}).get(ACPI_SLOTS)
    if not text:
        return {}
    try:
        slots = json.loads(text)
        return {str(name): int(slot) for name, slot in slots.items() if 0 < int(slot) < 65536}
    except (ValueError, AttributeError, TypeError) as error:
        raise SpecError(f"metadata.annotations[{ACPI_SLOTS}]", 'expected JSON like {"default": 192}') from error


def build_interfaces(vmi: Object, nics: Mapping[str, Nic]) -> tuple[Interface, ...]:
    """The machine's cards, in the order of the spec. `nics` is what the node's networks answered, by name."""
    slots = _acpi_slots(vmi)
    cards = []
    for entry, _ in list_interfaces(vmi["spec"]):
        name = entry["name"]
        model = str(entry.get("model") or "virtio")
        if model not in MODELS:
            raise SpecError(f"spec.domain.devices.interfaces[{name}].model", f"{model!r}; expected {', '.join(MODELS)}")
        nic = nics[name]
        cards.append(
            Interface(
                name=name,
                model=model,
                mac=nic.mac,
                tap=nic.tap,
                netdev=nic.netdev,
                mtu=nic.mtu if nic.tap else 0,
                boot_index=int(entry["bootOrder"]) if entry.get("bootOrder") else None,
                pci_address=str(entry.get("pciAddress") or ""),
                acpi_slot=slots.get(name, 0),
                acpi_index=int(entry.get("acpiIndex") or 0),
                link_up=entry.get("state") != "down",
                queues=_queues(vmi["spec"], entry) if nic.tap else 1,
                rom=bool(entry.get("bootOrder")),
            )
        )
    return tuple(cards)
