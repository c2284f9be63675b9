"""What KubeVirt's webhooks refuse in the spec of a VirtualMachineInstance, wherever it stands. Pure.

Rules, fields and messages are virt-api's of KubeVirt 1.9 (pkg/virt-api/webhooks/validating-webhook/admitters), because
people and tools search for them. A rule is a function from (the value of a field, the whole spec, its path, what was
found so far) and a row of SPEC, DOMAIN or DEVICES under the field that it is about: a spec costs what it has.
The schema has checked the types; defaults (a disk for each volume, the pod network) are filled in later and are not
missed here. What KubeVirt makes dependent on a feature gate is accepted. Storage: `vmistorage`; networks: `vminetwork`.
Called by `kubevirt` and `kubevirtadmission`.
"""

import fnmatch
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from isthmus.engine.registry.strategies import vmicpu, vminetwork, vmistorage
from isthmus.machinery import names, quantity
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
Found = list[Cause]
Rule = Callable[[Any, Object, str, Found], None]

REQUIRED, UNSUPPORTED = "FieldValueRequired", "FieldValueNotSupported"
EVICTION = ("None", "LiveMigrate", "LiveMigrateIfPossible", "External")
MACHINES = {"amd64": ("q35*", "pc-q35*"), "arm64": ("virt*",), "s390x": ("s390-ccw-virtio*",)}
IO_THREADS = ("shared", "auto", "supplementalPool")
PROBES = ("httpGet", "tcpSocket", "exec", "guestAgentPing")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", "")
PANIC_MODELS = ("hyperv", "isa", "pvpanic")
MEGABYTE = quantity.parse("1M")
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 6, 256


def validate(spec: Object, path: str) -> list[Cause]:
    """Everything that is wrong with a VMI's spec that stands at `path`."""
    found: Found = []
    domain = spec.get("domain") or {}
    try:
        for rules, values in ((SPEC, spec), (DOMAIN, domain), (DEVICES, domain.get("devices") or {})):
            for field, value in values.items():
                if value is not None and (rule := rules.get(field)) is not None:
                    rule(value, spec, path, found)
    except quantity.QuantityError as error:
        found.append(Cause(f"{path}.domain", str(error)))
    return found


def memory_is_requested(spec: Object, path: str) -> list[Cause]:
    """Of an instance, not of a template: what no instance type or default has given can come from nowhere else."""
    domain = spec.get("domain") or {}
    memory, resources = domain.get("memory") or {}, domain.get("resources") or {}
    if memory.get("guest") or memory.get("hugepages"):
        return []
    if at(resources, "requests.memory") or at(resources, "limits.memory"):  # a limit alone becomes the guest's memory
        return []
    wanted = ("memory.guest", "memory.hugepages.pageSize", "resources.requests.memory")
    guest, pages, requests = (f"'{path}.domain.{field}'" for field in wanted)
    message = f"no memory requested, at least one of {guest}, {pages} or {requests} must be set"
    return [Cause("", message, REQUIRED)]


# -- the spec's own fields --------------------------------------------------------------------------------------------


def _hostname(hostname: str, _spec: Object, path: str, found: Found) -> None:
    if hostname and (wrong := names.dns1123_label(hostname)):
        field = f"{path}.hostname"
        found.append(Cause(field, f"{field} does not conform to the kubernetes DNS_LABEL rules : {', '.join(wrong)}"))


def _subdomain(subdomain: str, _spec: Object, path: str, found: Found) -> None:
    if subdomain and (wrong := names.dns1123_subdomain(subdomain)):
        field = f"{path}.subdomain"
        message = f"{field} does not conform to the kubernetes DNS_SUBDOMAIN rules : {', '.join(wrong)}"
        found.append(Cause(field, message))


def _eviction(strategy: str, _spec: Object, path: str, found: Found) -> None:
    if strategy not in EVICTION:
        field = f"{path}.evictionStrategy"
        found.append(Cause(field, f"{field} is set with an unrecognized option: {strategy}"))


def _start_strategy(strategy: str, spec: Object, path: str, found: Found) -> None:
    field = f"{path}.startStrategy"
    if strategy != "Paused":
        found.append(Cause(field, f"{field} is set with an unrecognized option: {strategy}"))
    elif spec.get("livenessProbe") is not None:
        message = (
            f"either {field} or {path}.livenessProbe should be provided.Pausing VMI with LivenessProbe is not supported"
        )
        found.append(Cause(field, message))


def _probe(name: str) -> Rule:
    def rule(probe: Object, spec: Object, path: str, found: Found) -> None:
        field = f"{path}.{name}"
        handlers = [kind for kind in PROBES if probe.get(kind) is not None]
        if len(handlers) > 1:
            found.append(Cause(field, f"{field} must have exactly one probe type set"))
        elif not handlers:
            message = f"either {field}.tcpSocket, {field}.exec or {field}.httpGet must be set if a {field} is specified"
            found.append(Cause(field, message, REQUIRED))
        if vminetwork.has_pod_network(spec):
            return
        for kind in ("httpGet", "tcpSocket"):
            if kind in handlers:
                found.append(Cause(f"{field}.{kind}", f"{field}.{kind} is only allowed if the Pod Network is attached"))

    return rule


def _dns_policy(policy: str, spec: Object, path: str, found: Found) -> None:
    if policy not in DNS_POLICIES:
        message = f"DNSPolicy: {policy} is not supported, valid values: [{' '.join(DNS_POLICIES)}]"
        found.append(Cause(f"{path}.dnsPolicy", message, UNSUPPORTED))
    elif policy == "None" and spec.get("dnsConfig") is None:
        message = "must provide `dnsConfig` when `dnsPolicy` is None"
        found.append(Cause(f"{path}.dnsConfig", message, REQUIRED))


def _dns_config(config: Object, spec: Object, _path: str, found: Found) -> None:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if spec.get("dnsPolicy") == "None" and not servers:
        message = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        found.append(Cause("nameservers", message, REQUIRED))
        return
    if len(servers) > MAX_NAMESERVERS:
        listed = " ".join(servers)
        found.append(Cause("nameservers", f"must not have more than {MAX_NAMESERVERS} nameservers: [{listed}]"))
    found += (Cause("nameservers", f"must be valid IP address: {s}") for s in servers if not is_address(s))
    if len(searches) > MAX_SEARCHES:
        found.append(Cause("searchDomains", f"must not have more than {MAX_SEARCHES} search paths"))
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        message = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        found.append(Cause("searchDomains", message))
    found += (Cause("searchDomains", message) for search in searches for message in names.dns1123_subdomain(search))
    if any(not option.get("name") for option in config.get("options") or []):
        found.append(Cause("options", "Option.Name must not be empty"))


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _service_account(name: str, spec: Object, path: str, found: Found) -> None:
    field = f"{path}.serviceAccountName"
    if not name:
        return
    if wrong := names.dns1123_subdomain(name):
        found.append(Cause(field, f"{field} is not a valid service account name: {'; '.join(wrong)}"))
    for volume in spec.get("volumes") or []:
        other = (volume.get("serviceAccount") or {}).get("serviceAccountName", name)
        if other != name:
            message = f'spec.serviceAccountName "{name}" and serviceAccount volume "{other}" must reference the same service account'  # noqa: E501
            found.append(Cause(field, message))
            break


def _access_credentials(credentials: list[Object], spec: Object, path: str, found: Found) -> None:
    sources = {source for volume in spec.get("volumes") or [] for source in volume if volume[source] is not None}
    for index, credential in enumerate(credentials):
        field = f"{path}.accessCredentials[{index}]"
        kinds = [kind for kind in ("sshPublicKey", "userPassword") if credential.get(kind) is not None]
        for kind in kinds:
            _credential(credential[kind], f"{field}.{kind}", field, sources, found)
        if len(kinds) != 1:
            found.append(Cause(field, f"{field} must have exactly one access credential type set"))


def _credential(credential: Object, where: str, field: str, sources: set[str], found: Found) -> None:
    method = credential.get("propagationMethod") or {}
    for kind, source in (("noCloud", "cloudInitNoCloud"), ("configDrive", "cloudInitConfigDrive")):
        if method.get(kind) is not None and source not in sources:
            message = f"{field} requires a {kind} volume to exist when the {kind} propagationMethod is in use."
            found.append(Cause(f"{where}.propagationMethod", message))
    agent = method.get("qemuGuestAgent")
    if agent is not None and where.endswith("sshPublicKey") and not agent.get("users"):
        message = f"{field} requires at least one user to be present in the users list"
        found.append(Cause(f"{where}.propagationMethod.qemuGuestAgent.users", message))
    if at(credential, "source.secret") is None:
        found.append(Cause(f"{where}.source", f"{field} must have exactly one source set"))
    if sum(value is not None for value in method.values()) != 1:
        found.append(Cause(f"{where}.propagationMethod", f"{field} must have exactly one propagationMethod set"))


# -- the domain's -----------------------------------------------------------------------------------------------------


def _resources(resources: Object, _spec: Object, path: str, found: Found) -> None:
    """Of CPU and memory: neither negative, nor a request beyond its limit."""
    where = f"{path}.domain.resources"
    for name in ("memory", "cpu"):
        asked: dict[str, quantity.Quantity] = {}
        for kind in ("requests", "limits"):
            given = (resources.get(kind) or {}).get(name)
            if given is None:
                continue
            asked[kind] = value = quantity.parse(given)
            field = f"{where}.{kind}.{name}"
            if value < quantity.ZERO:
                found.append(Cause(field, f"{field} '{given}': must be greater than or equal to 0."))
            elif name == "memory" and kind == "requests" and quantity.ZERO < value < MEGABYTE:
                found.append(Cause(field, f"{field} '{given}': must be greater than or equal to 1M."))
        request, limit = asked.get("requests"), asked.get("limits")
        if request is not None and limit is not None and quantity.ZERO < limit < request:
            field = f"{where}.requests.{name}"
            shown = (resources["requests"][name], resources["limits"][name])
            found.append(Cause(field, f"{field} '{shown[0]}' is greater than {where}.limits.{name} '{shown[1]}'"))


def _memory(memory: Object, spec: Object, path: str, found: Found) -> None:
    """Memory in huge pages is whole pages."""
    if (pages := memory.get("hugepages")) is None:
        return
    size, field = pages.get("pageSize") or "", f"{path}.domain.memory.hugepages.pageSize"
    try:
        page = quantity.whole(size)
    except quantity.QuantityError as error:
        found.append(Cause(field, f"{field} '{size}': {error}"))
        return
    resources = spec["domain"].get("resources") or {}
    request = at(resources, "requests.memory")
    total = quantity.whole(request or memory.get("guest") or at(resources, "limits.memory") or "0")
    wanted = f"{path}.domain.resources.requests.memory"
    if 0 < total < page:
        message = f"{wanted} '{request or 0}' must be equal to or larger than page size {field} '{size}'"
        found.append(Cause(wanted, message))
    elif page > 0 and total % page:
        found.append(Cause(wanted, f"{wanted} '{request or 0}' is not a multiple of the page size {field} '{size}'"))


def _machine(machine: Object, spec: Object, path: str, found: Found) -> None:
    kind, allowed = machine.get("type"), MACHINES.get(spec.get("architecture") or "amd64")
    if kind and allowed and not any(fnmatch.fnmatchcase(kind, pattern) for pattern in allowed):
        field = f"{path}.domain.machine.type"
        found.append(Cause(field, f"{field} is not supported: {kind} (allowed values: [{' '.join(allowed)}])"))


def _firmware(firmware: Object, spec: Object, path: str, found: Found) -> None:
    loader, where = firmware.get("bootloader") or {}, f"{path}.domain.firmware"
    efi = loader.get("efi")
    if efi is not None:
        if loader.get("bios") is not None:
            field = f"{where}.bootloader"
            found.append(Cause(field, f"{field} has both EFI and BIOS configured, but they are mutually exclusive."))
        smm = at(spec["domain"], "features.smm")
        sealed = smm is not None and smm.get("enabled") is not False
        if efi.get("secureBoot") is not False and not sealed and at(spec["domain"], "launchSecurity.tdx") is None:
            field = f"{path}.domain"
            message = f"{field} has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled."
            found.append(Cause(field, message))
    if (boot := firmware.get("kernelBoot")) is not None:
        _kernel_boot(boot, f"{where}.kernelBoot", found)
    if (acpi := firmware.get("acpi")) is not None:
        _acpi(acpi, spec, f"{path}.acpi", found)


def _kernel_boot(boot: Object, field: str, found: Found) -> None:
    if (container := boot.get("container")) is None:
        if boot.get("kernelArgs"):
            message = "kernel arguments cannot be provided without an external kernel"
            found.append(Cause(f"{field}.kernelArgs", message))
        return
    field = f"{field}.container"
    if not container.get("image"):
        found.append(Cause(f"{field}.image", f"{field} must be defined with an image", REQUIRED))
    paths = [name for name in ("kernelPath", "initrdPath") if container.get(name)]
    if not paths:
        message = f"{field} must be defined with at least one of the following: kernelPath, initrdPath"
        found.append(Cause(field, message, REQUIRED))
    for name in paths:
        vmistorage.path_in_image(container[name], f"{field}.{name}", found)


def _acpi(acpi: Object, spec: Object, field: str, found: Found) -> None:
    wanted = {name: acpi[name] for name in ("slicNameRef", "msdmNameRef") if acpi.get(name)}
    if not wanted:
        found.append(Cause(field, "ACPI was set but no SLIC nor MSDM volume reference was set"))
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or []}
    for name, reference in wanted.items():
        if reference not in volumes:
            found.append(Cause(f"{field}.{name}", f"{field} does not have a matching Volume."))
        elif volumes[reference].get("secret") is None:
            found.append(Cause(f"{field}.{name}", f"{field} refers to Volume of unsupported type."))


def _io_threads(policy: str, spec: Object, path: str, found: Found) -> None:
    if policy not in IO_THREADS:
        found.append(Cause(f"{path}.domain.ioThreadsPolicy", f"Invalid IOThreadsPolicy ({policy})"))
    if policy == "supplementalPool" and (at(spec["domain"], "ioThreads.supplementalPoolThreadCount") or 0) < 1:
        message = "the number of iothreads needs to be set and positive for the dedicated policy"
        found.append(Cause(f"{path}.domain.ioThreads.count", message))


# -- the devices' -----------------------------------------------------------------------------------------------------


def _inputs(inputs: list[Object], _spec: Object, path: str, found: Found) -> None:
    for index, device in enumerate(inputs):
        field = f"{path}.domain.devices.inputs[{index}]"
        if (device.get("bus") or "usb") not in ("virtio", "usb"):
            found.append(Cause(f"{field}.bus", "Input device can have only virtio or usb bus."))
        if (device.get("type") or "tablet") != "tablet":
            found.append(Cause(f"{field}.type", "Input device can have only tablet type."))


def _sound(sound: Object, _spec: Object, path: str, found: Found) -> None:
    if sound.get("model") and sound["model"] not in ("ich9", "ac97"):
        found.append(Cause(f"{path}.Sound", "Sound device type is not supported. Options: 'ich9' or 'ac97'"))
    if not sound.get("name"):
        found.append(Cause(f"{path}.Sound", "Sound device requires a name field."))


def _video(_video: Object, spec: Object, path: str, found: Found) -> None:
    if spec["domain"]["devices"].get("autoattachGraphicsDevice") is False:
        message = "Video configuration is not allowed when autoattachGraphicsDevice is set to false"
        found.append(Cause(f"{path}.video", message))


def _panic_devices(devices: list[Object], _spec: Object, path: str, found: Found) -> None:
    for index, device in enumerate(devices):
        if (model := device.get("model")) is not None and model not in PANIC_MODELS:
            field = f"{path}.domain.devices.panicDevices[{index}].model"
            found.append(Cause(field, f"invalid PanicDeviceModel({model})"))


SPEC: Mapping[str, Rule] = {
    "accessCredentials": _access_credentials,
    "dnsConfig": _dns_config,
    "dnsPolicy": _dns_policy,
    "evictionStrategy": _eviction,
    "hostname": _hostname,
    "livenessProbe": _probe("livenessProbe"),
    "networks": vminetwork.networks,
    "readinessProbe": _probe("readinessProbe"),
    "serviceAccountName": _service_account,
    "startStrategy": _start_strategy,
    "subdomain": _subdomain,
    "volumes": vmistorage.volumes,
}
DOMAIN: Mapping[str, Rule] = {
    "cpu": vmicpu.cpu,
    "firmware": _firmware,
    "ioThreadsPolicy": _io_threads,
    "machine": _machine,
    "memory": _memory,
    "resources": _resources,
}
DEVICES: Mapping[str, Rule] = {
    "disks": vmistorage.disks,
    "inputs": _inputs,
    "interfaces": vminetwork.interfaces,
    "panicDevices": _panic_devices,
    "sound": _sound,
    "video": _video,
}
