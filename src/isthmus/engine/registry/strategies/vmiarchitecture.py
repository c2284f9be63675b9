"""What KubeVirt refuses of an instance for its architecture's sake, and of Hyper-V features that miss what they need.

Asked of instances alone, after their defaults are filled in: a template may still get these fields from elsewhere.
Messages are virt-api's of KubeVirt 1.9 (pkg/virt-api/webhooks, pkg/defaults/hyperv.go). Called by `kubevirt`.
"""

from typing import Any

from isthmus.engine.registry.strategies.vmidefaults import HYPERV_NEEDS
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
UNSUPPORTED = "FieldValueNotSupported"
ARCHITECTURES = ("amd64", "arm64", "s390x")
VIDEO = {"amd64": ("vga", "cirrus", "virtio", "ramfb", "bochs"), "arm64": ("virtio", "ramfb"), "s390x": ("virtio",)}


def validate(spec: Object, path: str) -> list[Cause]:
    """Everything that is wrong with an instance's spec in this regard."""
    architecture = spec["architecture"]
    if architecture not in ARCHITECTURES:
        return [Cause(f"{path}.architecture", f"unsupported architecture: {architecture}")]
    found = _hyperv(at(spec, "domain.features.hyperv") or {}, f"{path}.domain.features.hyperv")
    devices = at(spec, "domain.devices") or {}
    video = devices.get("video")
    if video is not None and (kind := video.get("type") or "") not in VIDEO[architecture]:
        message = f"video model '{kind}' is not supported on {architecture} architecture"
        found.append(Cause(f"{path}.domain.devices.video.type", message, UNSUPPORTED))
    watchdog = devices.get("watchdog") or {}
    if architecture == "amd64" and watchdog.get("diag288") is not None:
        message = "amd64 only supports I6300ESB watchdog device"
        found.append(Cause(f"{path}.domain.devices.watchdog", message, UNSUPPORTED))
    return found


def _hyperv(features: Object, where: str) -> list[Cause]:
    return [
        Cause(f"{where}.{feature}", f"'{where}.{feature}' requires '{where}.{needed}', which was disabled.")
        for feature, needed in HYPERV_NEEDS
        if at(features, f"{feature}.enabled") and at(features, f"{needed}.enabled") is False
    ]
