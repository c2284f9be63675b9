"""What KubeVirt's webhooks refuse in the spec of a VirtualMachineInstance, wherever it stands. Pure.

Fields, reasons and messages are virt-api's (pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go,
pkg/network/admitter, pkg/storage/admitters), because people and tools search for them. Each rule is a function from
(the spec, its path) to causes and a row of RULES. The schema has checked the types. Called by `kubevirt`.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from isthmus.machinery import causes, names, quantity
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Rule = Callable[["View", str], Iterator[Cause]]

MAX_ITEMS = 256
CLOUD_INIT_LIMIT = 2048  # bytes of inline user or network data
BUSES = {"disk": ("virtio", "sata", "scsi", "usb"), "cdrom": ("sata", "scsi", "usb"), "lun": ("sata", "scsi", "virtio")}
MODELS = ("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio")
BINDINGS = ("bridge", "masquerade", "sriov", "slirp", "macvtap", "passt", "passtBinding", "binding")
EVICTION = ("None", "LiveMigrate", "LiveMigrateIfPossible", "External")
_is_mac = re.compile(r"(?i)[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}").fullmatch


class View:
    """The parts of a spec that the rules look at, taken out once; {} and () where there is nothing."""

    __slots__ = ("devices", "disks", "domain", "interfaces", "memory", "networks", "resources", "spec", "volumes")

    def __init__(self, spec: Object) -> None:
        self.spec = spec
        self.volumes: list[Object] = spec.get("volumes") or []
        self.networks: list[Object] = spec.get("networks") or []
        self.domain: Object = spec.get("domain") or {}
        self.memory: Object = self.domain.get("memory") or {}
        self.resources: Object = self.domain.get("resources") or {}
        self.devices: Object = self.domain.get("devices") or {}
        self.disks: list[Object] = self.devices.get("disks") or []
        self.interfaces: list[Object] = self.devices.get("interfaces") or []


def validate(spec: Object, path: str) -> list[Cause]:
    """Everything that is wrong with a VMI's spec that stands at `path`."""
    view = View(spec)
    try:
        return [cause for rule in RULES for cause in rule(view, path)]
    except quantity.QuantityError as error:
        return [Cause(f"{path}.domain", str(error))]


def _invalid(field: str, message: str) -> Cause:
    return Cause(field, message)


def _memory_is_requested(view: View, path: str) -> Iterator[Cause]:
    if view.memory.get("guest") or view.memory.get("hugepages"):
        return
    if not (at(view.resources, "requests.memory") or at(view.resources, "limits.memory")):
        fields = "memory.guest, resources.requests.memory or memory.hugepages"
        yield Cause(f"{path}.domain.memory", f"no memory requested, at least one of {fields} must be set", "FieldValueRequired")  # fmt: skip  # noqa: E501


def _quantities(view: View, path: str) -> Iterator[Cause]:
    """Requests and limits are not negative, and no request is beyond its limit."""
    guest, resources, where = view.memory.get("guest"), view.resources, f"{path}.domain.resources"
    if guest is not None and quantity.parse(guest).value <= 0:
        field = f"{path}.domain.memory.guest"
        yield _invalid(field, f"{field} '{guest}': must be greater than 0.")
    if not resources:
        return
    for kind in ("requests", "limits"):
        for name, value in (resources.get(kind) or {}).items():
            if quantity.parse(value) < quantity.ZERO:
                field = f"{where}.{kind}.{name}"
                yield _invalid(field, f"{field} '{value}': must be greater than or equal to 0.")
    for name in ("memory", "cpu"):
        request, limit = at(resources, f"requests.{name}"), at(resources, f"limits.{name}")
        if request and limit and quantity.parse(request) > quantity.parse(limit):
            field = f"{where}.requests.{name}"
            yield _invalid(field, f"{field} '{request}' is greater than {where}.limits.{name} '{limit}'")


def _volumes(view: View, path: str) -> Iterator[Cause]:
    volumes, where = view.volumes, f"{path}.volumes"
    yield from _bounded(volumes, where)
    yield from _names_differ(volumes, where)
    for index, volume in enumerate(volumes):
        if sum(value is not None for key, value in volume.items() if key != "name") != 1:
            yield _invalid(f"{where}[{index}]", f"{where}[{index}] must have exactly one source type set")
        for source in ("cloudInitNoCloud", "cloudInitConfigDrive"):
            if isinstance(volume.get(source), dict):
                yield from _cloud_init(volume[source], f"{where}[{index}].{source}")


def _cloud_init(source: Object, where: str) -> Iterator[Cause]:
    user = [f for f in ("userData", "userDataBase64", "secretRef") if source.get(f)]
    network = [f for f in ("networkData", "networkDataBase64", "networkDataSecretRef") if source.get(f)]
    if not user and not network:
        yield _invalid(where, f"{where} must have at least one userdatasource or one networkdatasource set")
    if len(user) > 1:
        yield _invalid(where, f"{where} must have only one userdatasource set")
    if len(network) > 1:
        yield _invalid(where, f"{where} must have only one networkdatasource set")
    for field, secret in (("userData", "UserDataSecretRef"), ("networkData", "NetworkDataSecretRef")):
        if len((source.get(field) or "").encode()) > CLOUD_INIT_LIMIT:
            message = (
                f"{where} {field.lower()} exceeds {CLOUD_INIT_LIMIT} byte limit. Should use {secret} for larger data."
            )
            yield _invalid(f"{where}.{field}", message)


def _disks(view: View, path: str) -> Iterator[Cause]:
    disks = view.disks
    where = f"{path}.domain.devices.disks"
    yield from _bounded(disks, where)
    yield from _names_differ(disks, where)
    volumes = {v.get("name") for v in view.volumes}
    for index, disk in enumerate(disks):
        at_disk = f"{where}[{index}]"
        if disk.get("name") not in volumes and "cdrom" not in disk:
            yield _invalid(f"{at_disk}.name", f"{at_disk}.Name '{disk.get('name')}' not found.")
        kinds = [kind for kind in BUSES if disk.get(kind) is not None]
        if len(kinds) > 1:
            yield _invalid(at_disk, f"{at_disk} can have only a single target type defined")
        for kind in kinds:
            bus = disk[kind].get("bus")
            if bus and bus not in BUSES[kind]:
                listed = " ".join(BUSES[kind])
                message = f"{at_disk} is set with an unrecognized bus {bus}, must be one of: [{listed}]"
                yield _invalid(f"{at_disk}.{kind}.bus", message)


def _networks(view: View, path: str) -> Iterator[Cause]:
    networks, interfaces = view.networks, view.interfaces
    where = f"{path}.networks"
    yield from _bounded(networks, where)
    yield from _names_differ(networks, where)
    known = {i.get("name") for i in interfaces}
    for index, network in enumerate(networks):
        field = f"{where}[{index}]"
        kinds = [kind for kind in ("pod", "multus", "resourceClaim") if network.get(kind) is not None]
        if not kinds:
            yield Cause(field, "should have a network type", "FieldValueRequired")
        elif len(kinds) > 1:
            yield Cause(field, "should have only one network type", "FieldValueRequired")
        if "multus" in kinds and not network["multus"].get("networkName"):
            yield Cause(field, "CNI delegating plugin must have a networkName", "FieldValueRequired")
        if network.get("name") not in known:
            yield Cause(f"{field}.name", f"{field}.name '{network.get('name')}' not found.", "FieldValueRequired")
    if sum(network.get("pod") is not None for network in networks) > 1:
        where = f"{path}.domain.devices.interfaces"
        yield Cause(where, f"more than one interface is connected to a pod network in {where}", "FieldValueDuplicate")


def _interfaces(view: View, path: str) -> Iterator[Cause]:
    interfaces, networks = view.interfaces, view.networks
    where = f"{path}.domain.devices.interfaces"
    yield from _bounded(interfaces, where)
    known = {n.get("name"): n for n in networks}
    seen: set[str] = set()
    for index, interface in enumerate(interfaces):
        field, name = f"{where}[{index}]", interface.get("name", "")
        if networks and name not in known:
            yield _invalid(f"{field}.name", f"{field}.name '{name}' not found.")
        if name in seen:
            message = "Only one interface can be connected to one specific network"
            yield Cause(f"{field}.name", message, "FieldValueDuplicate")
        seen.add(name)
        yield from _interface(interface, field, known.get(name) or {})


def _interface(interface: Object, field: str, network: Object) -> Iterator[Cause]:
    name, model, mac = interface.get("name"), interface.get("model"), interface.get("macAddress")
    if model and model not in MODELS:
        message = f"interface {field}.name uses model {model} that is not supported."
        yield Cause(f"{field}.model", message, "FieldValueNotSupported")
    if mac and not _is_mac(mac):
        yield _invalid(f"{field}.macAddress", f"interface {field}.name has malformed MAC address ({mac}).")
    if len([b for b in BINDINGS if interface.get(b) is not None]) > 1:
        yield _invalid(field, f"logical {name} interface cannot have more than one interface binding method")
    if interface.get("masquerade") is not None and network.get("multus") is not None:
        yield _invalid(f"{field}.name", "Masquerade interface only implemented with pod network")
    if interface.get("sriov") is not None and network.get("pod") is not None:
        yield _invalid(f"{field}.name", "SR-IOV interface only implemented with multus network")
    for position, port in enumerate(interface.get("ports") or []):
        number, protocol = port.get("port") or 0, port.get("protocol") or "TCP"
        at_port = f"{field}.ports[{position}]"
        if number == 0:
            yield Cause(at_port, "Port field is mandatory.", "FieldValueRequired")
        elif not 0 < number < 65536:
            yield _invalid(at_port, "Port field must be in range 0 < x < 65536.")
        if protocol not in ("TCP", "UDP"):
            yield _invalid(f"{at_port}.protocol", "Unknown protocol, only TCP or UDP allowed")


def _boot_order(view: View, path: str) -> Iterator[Cause]:
    seen: set[int] = set()
    for kind, devices in (("disks", view.disks), ("interfaces", view.interfaces)):
        for index, device in enumerate(devices):
            order = device.get("bootOrder")
            if order is None:
                continue
            field = f"{path}.domain.devices.{kind}[{index}].bootOrder"
            if order < 1:
                yield _invalid(field, f"{field} must have a boot order > 0, if supplied")
            elif order in seen:
                yield _invalid(field, f"Boot order for {field} already set for a different device.")
            seen.add(order)


def _rest(view: View, path: str) -> Iterator[Cause]:
    spec = view.spec
    grace, strategy, hostname = (spec.get(f) for f in ("terminationGracePeriodSeconds", "evictionStrategy", "hostname"))
    if grace is not None and grace < 0:
        yield _invalid(f"{path}.terminationGracePeriodSeconds", "must be greater than or equal to 0")
    if strategy is not None and strategy not in EVICTION:
        field = f"{path}.evictionStrategy"
        yield _invalid(field, f"{field} is set with an unrecognized option: {strategy}")
    for message in names.dns1123_label(hostname) if hostname else ():
        yield _invalid(
            f"{path}.hostname", f"{path}.hostname does not conform to the kubernetes DNS_LABEL rules : {message}"
        )
    firmware = at(view.domain, "firmware.bootloader") or {}
    if firmware.get("bios") is not None and firmware.get("efi") is not None:
        field = f"{path}.domain.firmware.bootloader"
        yield _invalid(field, f"{field} has both EFI and BIOS configured, but they are mutually exclusive.")
    efi = firmware.get("efi")
    if efi is not None and efi.get("secureBoot") is not False and at(view.domain, "features.smm.enabled") is False:
        field = f"{path}.domain.firmware.bootloader.efi.secureBoot"
        yield _invalid(
            field, f"{path} has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled."
        )


def _bounded(items: list[Object], where: str) -> Iterator[Cause]:
    if len(items) > MAX_ITEMS:
        yield _invalid(where, f"{where} list exceeds the {MAX_ITEMS} element limit in length")


def _names_differ(items: list[Object], where: str) -> Iterator[Cause]:
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        name = item.get("name", "")
        if not name:
            yield causes.required(f"{where}[{index}].name")
        elif name in seen:
            message = f"{where}[{seen[name]}] and {where}[{index}] must not have the same Name."
            yield Cause(f"{where}[{index}].name", message, "FieldValueDuplicate")
        seen.setdefault(name, index)


RULES: tuple[Rule, ...] = (
    _memory_is_requested,
    _quantities,
    _volumes,
    _disks,
    _networks,
    _interfaces,
    _boot_order,
    _rest,
)
