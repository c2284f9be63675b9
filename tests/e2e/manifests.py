"""Manifests of the tiny guest, as a person would write them."""

from typing import Any

Object = dict[str, Any]
IMAGE = "isthmus.test/tiny:latest"


def vmi_spec(*volumes: Object, **changes: Any) -> Object:
    """The spec of a VMI that boots the tiny guest. `volumes` have their disk under the key `disk`.

    `changes`: devices, interfaces, networks, domain, anything else of the spec.
    """
    entries = [{"name": "root", "containerDisk": {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}}, *volumes]
    disks = [{"name": v["name"], **v.get("disk", {"disk": {"bus": "virtio"}})} for v in entries]
    devices: Object = {"disks": disks, "rng": {}, **changes.pop("devices", {})}
    if "interfaces" in changes:
        devices["interfaces"] = changes.pop("interfaces")
    domain: Object = {"memory": {"guest": "128Mi"}, "devices": devices, **changes.pop("domain", {})}
    bare = [{key: value for key, value in v.items() if key != "disk"} for v in entries]
    return {"domain": domain, "volumes": bare, "terminationGracePeriodSeconds": 20, **changes}


def vmi(name: str, *volumes: Object, **changes: Any) -> Object:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": vmi_spec(*volumes, **changes),
    }


def vm(name: str, strategy: str, *volumes: Object, **changes: Any) -> Object:
    metadata = {"labels": {"app": name}}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"runStrategy": strategy, "template": {"metadata": metadata, "spec": vmi_spec(*volumes, **changes)}},
    }


def claim(name: str, size: str, **annotations: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def data_volume(name: str, source: Object, size: str = "64Mi", **spec: Any) -> Object:
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {"name": name},
        "spec": {"source": source, "storage": {"resources": {"requests": {"storage": size}}}, **spec},
    }
