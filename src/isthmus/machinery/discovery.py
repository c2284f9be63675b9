"""Discovery documents: which groups, versions, resources and subresources are served.

Legacy (`/api`, `/apis`, `/apis/G`, `/apis/G/V`) and aggregated (`as=APIGroupDiscoveryList`, v2 and v2beta1) from one
walk over the kinds (apimachinery, meta/v1 APIResourceList; api, apidiscovery/v2). Equal kinds give equal documents, so
a hash of the encoded document is a stable ETag. A kind without verbs stands for a resource of which only subresources
are served (subresources.kubevirt.io): legacy lists its subresources alone, aggregated an entry without verbs.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from isthmus.machinery.resourcetype import ResourceType

Object = dict[str, Any]

_UPDATE_VERBS = ("get", "patch", "update")
_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", re.ASCII).fullmatch
_STAGES = {None: 0, "beta": 1, "alpha": 2}


class Part(NamedTuple):
    """A subresource as it is shown: its name, the kind of its body, its verbs."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


def parts(kind: ResourceType, version: str) -> Iterator[Part]:
    """All subresources of a kind in one version, in the order of their names."""
    own = (kind.group, version)
    found = [Part(s.name, *((s.group, s.version) if s.version else own), s.kind, s.verbs) for s in kind.subresources]
    if kind.status:
        found.append(Part("status", kind.group, version, kind.kind, _UPDATE_VERBS))
    if kind.scale is not None:
        found.append(Part("scale", "autoscaling", "v1", "Scale", _UPDATE_VERBS))
    return iter(sorted(found))


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: GA before beta before alpha, newer first, other names last."""
    found = _VERSION(version)
    if found is None:
        return (3, 0, 0, version)
    return (_STAGES[found[2]], -int(found[1]), -int(found[3] or 0), version)


def api_versions(address: str) -> Object:
    """`/api`. `address` is host:port for clients without another."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def _group_versions(kinds: Iterable[ResourceType]) -> dict[str, list[str]]:
    """Group -> its versions, the preferred first; groups in the order of their first kind."""
    found: dict[str, set[str]] = {}
    for kind in kinds:
        found.setdefault(kind.group, set()).update(kind.versions)
    return {group: sorted(versions, key=version_priority) for group, versions in found.items()}


def _group(name: str, versions: Sequence[str]) -> Object:
    shown = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}


def group_list(kinds: Iterable[ResourceType]) -> Object:
    """`/apis`: every group but the core one."""
    groups = [_group(name, versions) for name, versions in _group_versions(kinds).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(kinds: Iterable[ResourceType], name: str) -> Object | None:
    """`/apis/GROUP`; None if it is not served."""
    versions = _group_versions(kinds).get(name) if name else None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def resource_list(kinds: Iterable[ResourceType], group: str, version: str) -> Object | None:
    """`/api/v1` (group "") and `/apis/GROUP/VERSION`; None if it is not served."""
    served = [k for k in kinds if k.group == group and version in k.versions]
    if not served:
        return None
    resources = [entry for kind in sorted(served, key=lambda k: k.plural) for entry in _entries(kind, version)]
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _entries(kind: ResourceType, version: str) -> Iterator[Object]:
    if kind.verbs:
        yield _resource(kind)
    for part in parts(kind, version):
        entry: Object = {"name": f"{kind.plural}/{part.name}", "singularName": "", "namespaced": kind.namespaced}
        if (part.group, part.version) != (kind.group, version):
            entry |= {"group": part.group, "version": part.version}
        yield entry | {"kind": part.kind, "verbs": list(part.verbs)}


def _resource(kind: ResourceType) -> Object:
    entry: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }
    entry |= _names(kind)
    if "get" in kind.verbs:
        entry["storageVersionHash"] = _storage_version_hash(kind)
    return entry


def _names(kind: ResourceType) -> Object:
    shown = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {key: value for key, value in shown.items() if value}


def _storage_version_hash(kind: ResourceType) -> str:
    stored = f"{kind.group}/{kind.storage_version}/{kind.kind}".encode()
    return base64.b64encode(hashlib.sha256(stored).digest()[:8]).decode()


def aggregated(kinds: Iterable[ResourceType], root: str, version: str = "v2") -> Object:
    """The APIGroupDiscoveryList of `/api` (root "api": the core group) or `/apis` (all others); v2 or v2beta1."""
    kinds = [k for k in kinds if bool(k.group) == (root == "apis")]
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [_version([k for k in kinds if k.group == name], v) for v in versions],
        }
        for name, versions in _group_versions(kinds).items()
    ]
    api_version = f"apidiscovery.k8s.io/{version}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _version(kinds: Iterable[ResourceType], version: str) -> Object:
    served = sorted((k for k in kinds if version in k.versions), key=lambda k: k.plural)
    return {"version": version, "resources": [_discovered(k, version) for k in served], "freshness": "Current"}


def _discovered(kind: ResourceType, version: str) -> Object:
    # Without verbs there is no kind to answer with, but clients need the field to be there.
    response = {"group": kind.group, "version": version, "kind": kind.kind}
    entry: Object = {
        "resource": kind.plural,
        "responseKind": response if kind.verbs else {"group": "", "version": "", "kind": ""},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular if kind.verbs else "",
        "verbs": sorted(kind.verbs),
    }
    subresources = [
        {
            "subresource": part.name,
            "responseKind": {"group": part.group, "version": part.version, "kind": part.kind},
            "verbs": list(part.verbs),
        }
        for part in parts(kind, version)
    ]
    return entry | _names(kind) | ({"subresources": subresources} if subresources else {})
