"""What must be right about a CustomResourceDefinition beside its schemas. Pure; called by `apiextensions`.

Source: Kubernetes, apiextensions-apiserver, pkg/apis/apiextensions/validation.
"""

from collections.abc import Iterator
from typing import Any

from isthmus.machinery import causes, names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
SCOPES = ("Cluster", "Namespaced")
STRATEGIES = ("None", "Webhook")
PROTECTED = ("k8s.io", "kubernetes.io")  # and what lies below: groups of Kubernetes' own
APPROVAL = "api-approved.kubernetes.io"


def check(crd: Object, old: Object | None) -> Iterator[Cause]:
    """What is wrong with the group, the scope, the names, the versions' names and what is stored in them."""
    spec = crd["spec"]
    group = spec.get("group") or ""
    if not group:
        yield causes.required("spec.group")
    else:
        yield from (causes.invalid("spec.group", group, c) for c in names.dns1123_subdomain(group))
        if "." not in group:
            yield causes.invalid("spec.group", group, "should be a domain with at least one dot")
        if old is None:
            yield from _approval(crd, group)
    if (scope := spec.get("scope") or "") not in SCOPES:
        yield causes.not_supported("spec.scope", scope, SCOPES) if scope else causes.required("spec.scope")
    yield from _names(spec["names"])
    yield from _versions(spec.get("versions") or [])
    yield from _conversion(spec["conversion"])
    if old is not None:
        yield from _stored_versions(crd)


def _approval(crd: Object, group: str) -> Iterator[Cause]:
    approved = (crd["metadata"].get("annotations") or {}).get(APPROVAL)
    if not approved and any(group == own or group.endswith(f".{own}") for own in PROTECTED):
        why = f'protected groups must have approval annotation "{APPROVAL}"'
        yield causes.required(f"metadata.annotations[{APPROVAL}]", why)


def _names(given: Object) -> Iterator[Cause]:
    kinds = [(field, given.get(field)) for field in ("kind", "listKind")]
    words = [(field, given.get(field)) for field in ("plural", "singular")]
    for field in ("shortNames", "categories"):
        words += [(f"{field}[{index}]", name) for index, name in enumerate(given.get(field) or ())]
    for field, name in words:
        if not name:
            yield causes.required(f"spec.names.{field}")
        else:
            yield from (causes.invalid(f"spec.names.{field}", name, c) for c in names.dns1035_label(name))
    for field, name in kinds:
        if not name:
            yield causes.required(f"spec.names.{field}")
        else:
            mixed = "may have mixed case, but should otherwise match: "
            for why in names.dns1035_label(name.lower()):
                yield causes.invalid(f"spec.names.{field}", name, mixed + why)
    if given.get("kind") and given["kind"] == given.get("listKind"):
        yield causes.invalid("spec.names.listKind", given["kind"], "kind and listKind may not be the same")


def _versions(versions: list[Object]) -> Iterator[Cause]:
    listed = [version["name"] for version in versions]
    for index, name in enumerate(listed):
        yield from (causes.invalid(f"spec.versions[{index}].name", name, c) for c in names.dns1035_label(name))
    if len(set(listed)) < len(listed):
        yield causes.invalid("spec.versions", listed, "must contain unique version names")


def _conversion(conversion: Object) -> Iterator[Cause]:
    path = "spec.conversion"
    if (strategy := conversion.get("strategy")) not in STRATEGIES:
        yield causes.not_supported(f"{path}.strategy", strategy, STRATEGIES)
    elif strategy == "None" and conversion.get("webhook") is not None:
        yield causes.forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")
    elif strategy == "Webhook":
        webhook = conversion.get("webhook") or {}
        if not webhook.get("clientConfig"):
            yield causes.required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook")
        if not webhook.get("conversionReviewVersions"):
            yield causes.required(f"{path}.webhook.conversionReviewVersions")


def _stored_versions(crd: Object) -> Iterator[Cause]:
    """A version in which objects may still lie in the store stays."""
    path, stored = "status.storedVersions", (crd.get("status") or {}).get("storedVersions") or []
    versions = {version["name"]: version for version in crd["spec"].get("versions") or ()}
    if not stored:
        yield causes.invalid(path, stored, "must have at least one stored version")
        return
    for index, name in enumerate(stored):
        if name not in versions:
            yield causes.invalid(f"{path}[{index}]", name, "must appear in spec.versions")
    for name, version in versions.items():
        if version.get("storage") and name not in stored:
            yield causes.invalid(path, stored, f"must have the storage version {name}")
