"""The rules for `metadata`, on creation and on update (apimachinery, api/validation/objectmeta.go).

The types of the fields are the schema's business: `validate_create` and `validate_update` read metadata whose shape has
been checked. Called by registry.strategy with the kind's own check of names; the causes become a 422.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from isthmus.machinery import causes, labels, names
from isthmus.machinery.errors import Cause

Meta = Mapping[str, Any]

ANNOTATIONS_MAX: Final = 256 * 1024
"""Bytes of all annotation keys and values together."""
_MANAGER_MAX = 128
_SUBRESOURCE_MAX = 256
_IMMUTABLE = "field is immutable"
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_create(
    meta: Meta, *, namespaced: bool, name_check: names.NameCheck = names.dns1123_subdomain
) -> list[Cause]:
    """What is wrong with the metadata of a new object, its name already generated."""
    found: list[Cause] = []
    if prefix := meta.get("generateName"):
        found += [causes.invalid("metadata.generateName", prefix, c) for c in names.of_prefix(name_check, prefix)]
    if name := meta.get("name"):
        found += [causes.invalid("metadata.name", name, c) for c in name_check(name)]
    else:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    return found + _namespace(meta.get("namespace", ""), namespaced) + _common(meta) + _finalizers(meta)


def validate_update(new: Meta, old: Meta) -> list[Cause]:
    """What is wrong with the metadata that is to replace `old`; the server has filled in what a client may omit."""
    found: list[Cause] = []
    if old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        detail = (
            f"no new finalizers can be added if the object is being deleted, found new finalizers {causes.show(added)}"
        )
        found += [causes.forbidden("metadata.finalizers", detail)] * bool(added)
    if not new.get("resourceVersion"):
        found.append(causes.invalid("metadata.resourceVersion", "", "must be specified for an update"))
    generation = new.get("generation") or 0
    if generation < (old.get("generation") or 0):
        found.append(causes.invalid("metadata.generation", generation, "must not be decremented"))
    for field in _FIXED:
        if (value := new.get(field)) != old.get(field):
            found.append(causes.invalid(f"metadata.{field}", value, _IMMUTABLE))
    return found + _common(new)


def _namespace(namespace: str, namespaced: bool) -> list[Cause]:
    path = "metadata.namespace"
    if not namespaced:
        return [causes.forbidden(path, "not allowed on this type")] if namespace else []
    if not namespace:
        return [causes.required(path)]
    return [causes.invalid(path, namespace, c) for c in names.dns1123_label(namespace)]


def _common(meta: Meta) -> list[Cause]:
    found: list[Cause] = []
    generation = meta.get("generation") or 0
    if generation < 0:
        found.append(causes.invalid("metadata.generation", generation, "must be greater than or equal to 0"))
    if kept := meta.get("labels"):
        found += labels.validate_labels(kept, "metadata.labels")
    if annotations := meta.get("annotations"):
        found += validate_annotations(annotations, "metadata.annotations")
    if owners := meta.get("ownerReferences"):
        found += _owner_references(owners)
    if managed := meta.get("managedFields"):
        found += _managed_fields(managed)
    return found


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[Cause]:
    """What is wrong with annotations: keys are label keys in any case, the whole is bounded."""
    found = [causes.invalid(path, key, c) for key in annotations for c in names.label_key(key.lower())]
    if sum(_size(k) + _size(v) for k, v in annotations.items()) > ANNOTATIONS_MAX:
        found.append(causes.too_long(path, ANNOTATIONS_MAX))
    return found


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _finalizers(meta: Meta) -> list[Cause]:
    path, finalizers = "metadata.finalizers", meta.get("finalizers") or []
    found = [causes.invalid(path, f, c) for f in finalizers for c in names.label_key(f)]
    if _FOREGROUND in finalizers and _ORPHAN in finalizers:
        detail = f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        found.append(causes.invalid(path, finalizers, detail))
    return found


def _owner_references(references: Sequence[Meta]) -> list[Cause]:
    path = "metadata.ownerReferences"
    found = [c for i, r in enumerate(references) for c in _owner_reference(r, f"{path}[{i}]")]
    controllers = [f"{r.get('kind')}/{r.get('name')}" for r in references if r.get("controller")]
    for other in controllers[1:]:
        detail = (
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {other}'
        )
        found.append(causes.invalid(path, references, detail))
    return found


def _owner_reference(reference: Meta, path: str) -> Iterable[Cause]:
    for field in ("apiVersion", "kind", "name", "uid"):
        if not reference.get(field):
            yield causes.required(f"{path}.{field}", "must not be empty")
    api_version = reference.get("apiVersion", "")
    if api_version and (api_version.count("/") > 1 or not api_version.rpartition("/")[2]):
        yield causes.invalid(f"{path}.apiVersion", api_version, "must be <group>/<version> or <version>")
    if (api_version, reference.get("kind")) == ("v1", "Event"):
        yield causes.invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner")


def _managed_fields(entries: Sequence[Meta]) -> list[Cause]:
    found: list[Cause] = []
    for index, entry in enumerate(entries):
        path = f"metadata.managedFields[{index}]"
        operation, fields_type = entry.get("operation", ""), entry.get("fieldsType", "")
        if not operation:
            found.append(causes.required(f"{path}.operation", "must not be empty"))
        elif operation not in ("Apply", "Update"):
            found.append(causes.not_supported(f"{path}.operation", operation, ("Apply", "Update")))
        if fields_type not in ("", "FieldsV1"):
            found.append(causes.invalid(f"{path}.fieldsType", fields_type, "must be `FieldsV1`"))
        found += validate_field_manager(entry.get("manager", ""), f"{path}.manager")
        if _size(entry.get("subresource", "")) > _SUBRESOURCE_MAX:
            found.append(causes.too_long(f"{path}.subresource", _SUBRESOURCE_MAX))
    return found


def validate_field_manager(manager: str, path: str = "fieldManager") -> list[Cause]:
    """What is wrong with the name of a field manager."""
    found: list[Cause] = []
    if _size(manager) > _MANAGER_MAX:
        found.append(causes.too_long(path, _MANAGER_MAX))
    for index, character in enumerate(manager):
        if not character.isprintable():
            detail = f"invalid character U+{ord(character):04X} (at position {index})"
            found.append(causes.invalid(path, manager, detail))
    return found
