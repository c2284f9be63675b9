"""Which model of the npm package becomes which definition: `V1Disk` of KubeVirt's is `io.kubevirt.api.v1.Disk`.

KubeVirt's OpenAPI names are flat ("v1beta1.DataVolumeSpec") and hold copies of Kubernetes' and CDI's types; those
become references to the originals. Called by: `__main__`.
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from isthmus.kinds.generate import typescript

Definition = dict[str, Any]

_KUBERNETES = {
    "K8sIoApiCoreV1": "io.k8s.api.core.v1",
    "K8sIoApimachineryPkgApisMetaV1": "io.k8s.apimachinery.pkg.apis.meta.v1",
}
_VERSIONED = re.compile(r"V(\d+(?:alpha\d+|beta\d+)?)([A-Z]\w*)$")
_CDI_IN_KUBEVIRT = re.compile(r"(DataVolume(Checkpoint|Source|Spec|BlankImage)|StorageSpec$|PlatformOptions$)")
KUBEVIRT_BUNDLE = "dist/kubevirt/index.js.map"
CDI_BUNDLE = "dist/containerized-data-importer/index.js.map"


def definitions(bundle: str, source_map: bytes, kubernetes: Collection[str]) -> dict[str, Definition]:
    """The definitions of one bundle under their full names, without those that Kubernetes itself has."""
    rename = kubevirt_name if bundle == KUBEVIRT_BUNDLE else _cdi_namer(kubernetes)
    found = (typescript.definition(text, rename) for text in typescript.models(source_map))
    return {name: definition for name, definition in filter(None, found) if name not in kubernetes}


def kubevirt_name(model: str) -> str:
    """The full name of a model of KubeVirt's bundle. Raises ValueError for a name of unknown form."""
    for prefix, package in _KUBERNETES.items():
        if model.startswith(prefix):
            return f"{package}.{model.removeprefix(prefix)}"
    match = _VERSIONED.match(model)
    if match is None:
        raise ValueError(f"a model of an unexpected name: {model}")
    version, name = match.groups()
    if version == "1beta1" and _CDI_IN_KUBEVIRT.match(name):
        return f"io.kubevirt.cdi.v1beta1.{name}"
    return f"io.kubevirt.api.v{version}.{name}"


def _cdi_namer(kubernetes: Collection[str]) -> Callable[[str], str]:
    def name(model: str) -> str:
        short = re.sub(r"^(V1(?!beta|alpha)|Api)", "", model)
        for package in _KUBERNETES.values():
            if f"{package}.{short}" in kubernetes:
                return f"{package}.{short}"
        return f"io.kubevirt.cdi.v1beta1.{model.removeprefix('V1beta1').removeprefix('Api')}"

    return name
