"""The launcher Pod of a VirtualMachineInstance. Pure; called by `vmi`.

An object, not a process: what the rest of Kubernetes sees of the VM's cgroup, network and QEMU process, so that
scheduling, quota, Services, policies, `top` and eviction need no special case. Names, labels and annotations are
KubeVirt's, because people select on them.
"""

import hashlib
from collections import Counter
from typing import Any

import orjson

from isthmus.machinery import owners, quantity
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]

IMAGE = "isthmus.dev/launcher"
CREATED_BY = "kubevirt.io/created-by"
NODE_NAME = "kubevirt.io/nodeName"
MIGRATION_JOB = "kubevirt.io/migrationJobUID"
CONSOLE_LOG = "guest-console-log"
CPU_ALLOCATION_RATIO = 10
GRACE_SURPLUS = 15  # seconds that the pod is given beyond the guest's own grace period

MIB = 1024 * 1024
OVERHEAD_QEMU = 96 * MIB  # code, device models, I/O buffers, the translator's cache under TCG
OVERHEAD_VCPU = 8 * MIB
OVERHEAD_VIDEO = 32 * MIB
PAGE_TABLE_SHARE = 512  # one page table byte maps 512 bytes of guest memory
_LABEL_LENGTH = 63
_HASH_LENGTH = 8
_NOT_INHERITED = (
    "kubectl.kubernetes.io",
    "kubevirt.io/storage-observed-api-version",
    "kubevirt.io/latest-observed-api-version",
)


def pod_name(vmi: Object, job: str = "") -> str:
    """`virt-launcher-VMI-xxxxx`: the suffix depends on the VMI's uid (and the migration's), so that a repeated create
    finds the pod that an interrupted one has made."""
    digest = hashlib.sha256(f"{vmi['metadata']['uid']}/{job}".encode()).digest()
    alphabet = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own for generated names
    suffix = "".join(alphabet[b % len(alphabet)] for b in digest[:5])
    return f"virt-launcher-{vmi['metadata']['name'][:200]}-{suffix}"


def label_value(name: str) -> str:
    """A name as a label's value: cut, and told apart by a hash, if it is too long for one (KubeVirt's form, which
    `virtctl expose` selects by)."""
    if len(name) <= _LABEL_LENGTH:
        return name
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:_HASH_LENGTH]
    return f"{name[: _LABEL_LENGTH - _HASH_LENGTH - 1]}-{digest}"


def hostname(vmi: Object) -> str:
    """The guest's name for itself, and the pod's."""
    given: str | None = vmi["spec"].get("hostname")
    return given or str(vmi["metadata"]["name"].partition(".")[0])[:_LABEL_LENGTH]


def build_pod(vmi: Object, *, console_log_default: bool = True) -> Object:
    """The Pod for `vmi`. `console_log_default`: what an unset `logSerialConsole` means in this cluster."""
    metadata, spec = vmi["metadata"], vmi["spec"]
    grace = int(spec.get("terminationGracePeriodSeconds") or 0)
    pod_spec: Object = {
        "restartPolicy": "Never",
        "hostname": hostname(vmi),
        "terminationGracePeriodSeconds": grace + GRACE_SURPLUS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
        "containers": _containers(spec, f"{metadata['namespace']}_{metadata['name']}", console_log_default),
        "volumes": _volumes(spec),
    }
    if selector := _node_selector(spec):
        pod_spec["nodeSelector"] = selector
    for key in (
        "subdomain", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName",
        "priorityClassName", "dnsPolicy", "dnsConfig", "resourceClaims",
    ):  # fmt: skip
        if spec.get(key):
            pod_spec[key] = spec[key]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(vmi),
            "namespace": metadata["namespace"],
            "labels": labels(vmi),
            "annotations": _annotations(vmi),
            "ownerReferences": [owners.reference(vmi)],
        },
        "spec": pod_spec,
    }


_SECURITY = {"sev": "kubevirt.io/sev", "snp": "kubevirt.io/sev-snp", "tdx": "kubevirt.io/tdx"}


def _node_selector(spec: Object) -> dict[str, str]:
    """The VMI's own; and a node must be of its architecture, and able to hide its memory from the host if it asks."""
    chosen = dict(spec.get("nodeSelector") or {})
    if architecture := spec.get("architecture"):
        chosen["kubernetes.io/arch"] = architecture
    security = at(spec, "domain.launchSecurity") or {}
    chosen |= {label: "true" for kind, label in _SECURITY.items() if security.get(kind) is not None}
    if at(security, "sev.policy.encryptedState"):
        chosen["kubevirt.io/sev-es"] = "true"
    return chosen


def labels(vmi: Object) -> dict[str, str]:
    """The VMI's labels, which Services select on, and KubeVirt's own."""
    metadata = vmi["metadata"]
    return dict(metadata.get("labels") or {}) | {
        "kubevirt.io": "virt-launcher",
        CREATED_BY: metadata["uid"],
        "vm.kubevirt.io/name": hostname(vmi),
        "vmi.kubevirt.io/id": label_value(metadata["name"]),
    }


def _annotations(vmi: Object) -> dict[str, str]:
    theirs = vmi["metadata"].get("annotations") or {}
    own = {"kubevirt.io/domain": vmi["metadata"]["name"]}
    own |= {k: v for k, v in theirs.items() if not k.startswith(_NOT_INHERITED)}
    own |= {
        "kubectl.kubernetes.io/default-container": "compute",
        "kubevirt.io/migrationTransportUnix": "true",
        "descheduler.alpha.kubernetes.io/request-evict-only": "",
    }
    return own | _multus(vmi["spec"], vmi["metadata"]["namespace"])


def _multus(spec: Object, own_namespace: str) -> dict[str, str]:
    """Which NetworkAttachmentDefinitions the pod joins, under the interface names of KubeVirt's hashed scheme."""
    macs = {i["name"]: i.get("macAddress") for i in at(spec, "domain.devices.interfaces") or []}
    joined, out = [], {}
    for network in spec.get("networks") or []:
        name = at(network, "multus.networkName")
        if not name:
            continue
        if at(network, "multus.default"):
            out["v1.multus-cni.io/default-network"] = name
            continue
        namespace, _, short = name.rpartition("/")
        link = f"pod{hashlib.sha256(network['name'].encode()).hexdigest()[:11]}"
        entry = {"name": short, "interface": link, "namespace": namespace or own_namespace}
        joined.append(entry | ({"mac": macs[network["name"]]} if macs.get(network["name"]) else {}))
    if joined:
        out["k8s.v1.cni.cncf.io/networks"] = orjson.dumps(joined).decode()
    return out


def _containers(spec: Object, domain: str, console_log_default: bool) -> list[Object]:
    compute: Object = {
        "name": "compute",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(spec),
    }
    for name in ("livenessProbe", "readinessProbe"):
        if probe := spec.get(name):
            compute[name] = _probe(probe, domain)
    mounts = [
        {"name": v["name"], "mountPath": f"/var/run/kubevirt-private/vmi-disks/{v['name']}"} for v in _volumes(spec)
    ]
    if mounts:
        compute["volumeMounts"] = mounts
    devices = at(spec, "domain.devices") or {}
    logged = devices.get("logSerialConsole")
    if (console_log_default if logged is None else logged) and devices.get("autoattachSerialConsole") is not False:
        small = {"requests": {"cpu": "1m", "memory": "1Mi"}}
        return [compute, {"name": CONSOLE_LOG, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "resources": small}]
    return [compute]


def _probe(probe: Object, domain: str) -> Object:
    """A probe as the Pod shows it; what goes through the guest's agent is virt-probe there, as in KubeVirt."""
    shown = {key: value for key, value in probe.items() if key not in ("guestAgentPing", "exec")}
    command = at(probe, "exec.command") or []
    if probe.get("guestAgentPing") is not None or command:
        timeout = str(probe.get("timeoutSeconds") or 1)
        what = ["--command", command[0], "--", *command[1:]] if command else ["--guestAgentPing"]
        shown["exec"] = {"command": ["virt-probe", "--domainName", domain, "--timeoutSeconds", timeout, *what]}
    return shown


def vcpus(spec: Object) -> int:
    """sockets x cores x threads; without any of them what resources ask for, rounded up; else 1."""
    cpu = at(spec, "domain.cpu") or {}
    parts = [int(cpu.get(part) or 0) for part in ("sockets", "cores", "threads")]
    if any(parts):
        return max(1, parts[0]) * max(1, parts[1]) * max(1, parts[2])
    asked = at(spec, "domain.resources.limits.cpu") or at(spec, "domain.resources.requests.cpu")
    return max(1, quantity.whole(asked)) if asked else 1


def guest_memory(spec: Object) -> int:
    """Bytes of memory that the guest sees."""
    paths = ("memory.guest", "resources.requests.memory", "resources.limits.memory", "memory.hugepages.pageSize")
    found = next((value for path in paths if (value := at(spec, f"domain.{path}"))), 0)
    return quantity.whole(found)


def overhead(spec: Object) -> int:
    """Bytes that QEMU needs beside the guest's memory: an estimate, which `top` can be held against."""
    graphics = at(spec, "domain.devices.autoattachGraphicsDevice") is not False
    tables = guest_memory(spec) // PAGE_TABLE_SHARE
    total = OVERHEAD_QEMU + OVERHEAD_VCPU * vcpus(spec) + (OVERHEAD_VIDEO if graphics else 0) + tables
    return -(-total // MIB) * MIB


def resources(spec: Object) -> Object:
    """Requests and limits of `compute`: the guest's memory and its overhead; a tenth of a CPU for each vCPU unless the
    VMI says otherwise, all of it with dedicated CPUs."""
    asked = at(spec, "domain.resources") or {}
    requests, limits = dict(asked.get("requests") or {}), dict(asked.get("limits") or {})
    extra = 0 if asked.get("overcommitGuestOverhead") else overhead(spec)
    memory = quantity.whole(requests.get("memory") or guest_memory(spec))
    requests["memory"] = quantity.from_bytes(memory + extra)
    if limits.get("memory"):
        limits["memory"] = quantity.from_bytes(quantity.whole(limits["memory"]) + overhead(spec))
    count = vcpus(spec)
    if at(spec, "domain.cpu.dedicatedCpuPlacement"):
        dedicated = count + (1 if at(spec, "domain.cpu.isolateEmulatorThread") else 0)
        requests["cpu"] = limits["cpu"] = str(dedicated)
        limits.setdefault("memory", requests["memory"])
    elif "cpu" not in requests:
        requests["cpu"] = limits.get("cpu") or quantity.from_milli(count * 1000 // CPU_ALLOCATION_RATIO)
    if page := at(spec, "domain.memory.hugepages.pageSize"):
        requests[f"hugepages-{page}"] = limits[f"hugepages-{page}"] = quantity.from_bytes(guest_memory(spec))
        requests["memory"] = quantity.from_bytes(extra)
    for name, number in _host_devices(spec).items():
        requests[name] = limits[name] = str(number)
    devices = [*(at(spec, "domain.devices.gpus") or []), *(at(spec, "domain.devices.hostDevices") or [])]
    claims = [
        {"name": d["claimName"]} | ({"request": d["requestName"]} if d.get("requestName") else {})
        for d in devices
        if d.get("claimName")
    ]
    return {"requests": requests} | ({"limits": limits} if limits else {}) | ({"claims": claims} if claims else {})


def _host_devices(spec: Object) -> Counter[str]:
    """How many of each device of the host the VMI wants: a node that has none of them is not chosen."""
    devices = at(spec, "domain.devices") or {}
    wanted = [*(devices.get("gpus") or []), *(devices.get("hostDevices") or [])]
    return Counter(d["deviceName"] for d in wanted if d.get("deviceName"))


def _volumes(spec: Object) -> list[Object]:
    """The volumes that a Pod can have too; the agent finds the others (images, cloud-init) in the VMI."""
    out = []
    for volume in spec.get("volumes") or []:
        name = volume["name"]
        claim = next((c for path in _CLAIMS if (c := at(volume, path))), None)
        if claim:
            out.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        elif volume.get("configMap"):
            out.append({"name": name, "configMap": {k: v for k, v in volume["configMap"].items() if k in _OBJECT_KEYS}})
        elif volume.get("secret"):
            reference = {k: v for k, v in volume["secret"].items() if k in ("secretName", "optional")}
            out.append({"name": name, "secret": reference})
    return out


_CLAIMS = ("persistentVolumeClaim.claimName", "dataVolume.name", "ephemeral.persistentVolumeClaim.claimName")
_OBJECT_KEYS = ("name", "optional")
