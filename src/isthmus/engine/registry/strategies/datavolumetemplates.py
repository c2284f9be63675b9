"""What KubeVirt refuses of a VirtualMachine's `dataVolumeTemplates` (pkg/storage/admitters/data-volume-template.go)."""

from typing import Any

from isthmus.machinery.errors import Cause

Object = dict[str, Any]
REQUIRED = "FieldValueRequired"


def validate(spec: Object, namespace: str, old: Object | None) -> list[Cause]:
    """The causes, for the spec of a VM in `namespace`; `old` is the VM before an update."""
    if not (templates := spec.get("dataVolumeTemplates")):
        return []
    found: list[Cause] = []
    volumes = (spec["template"].get("spec") or {}).get("volumes") or []
    used = {(v.get("dataVolume") or {}).get("name") for v in volumes}
    used |= {(v.get("persistentVolumeClaim") or {}).get("claimName") for v in volumes}
    for index, template in enumerate(templates):
        field, metadata = f"spec.dataVolumeTemplate[{index}]", template.get("metadata") or {}
        if wrong := _wrong(template, metadata.get("name"), field):
            found.append(wrong)
        elif metadata["name"] not in used:
            message = f"DataVolumeTemplate entry {field} must be referenced in the VMI template's 'volumes' list"
            found.append(Cause(field, message, REQUIRED))
    if old is None or templates != old["spec"].get("dataVolumeTemplates"):
        found += _elsewhere(templates, namespace)
    return found


def _elsewhere(templates: list[Object], namespace: str) -> list[Cause]:
    found = []
    for index, template in enumerate(templates):
        if (other := (template.get("metadata") or {}).get("namespace") or namespace) != namespace:
            message = f"Embedded DataVolume namespace {other} differs from VM namespace {namespace}"
            found.append(Cause(f"spec.dataVolumeTemplates[{index}]", message))
    return found


def _wrong(template: Object, name: str | None, field: str) -> Cause | None:
    """The first thing that is wrong with one template."""
    spec = template.get("spec") or {}
    if not name:
        message = f"'name' field must not be empty for DataVolumeTemplate entry {field}.name."
        return Cause(f"{field}.name", message, REQUIRED)
    targets = [spec[kind] for kind in ("pvc", "storage") if spec.get(kind) is not None]
    if len(targets) != 1:
        twice = "Duplicate storage definition, both target storage and target pvc defined"
        return Cause(f"{field}.PVC.Storage", twice if targets else "Missing Data volume PVC or Storage")
    populated = any(targets[0].get(kind) is not None for kind in ("dataSource", "dataSourceRef"))
    source, reference = spec.get("source"), spec.get("sourceRef")
    sourced = source is not None or reference is not None
    if populated and sourced:
        return Cause(f"{field}.source", "External population is incompatible with Source and SourceRef")
    if not (populated or sourced):
        message = "Data volume should have either Source, SourceRef, or be externally populated"
        return Cause(f"{field}.source.sourceRef", message)
    kinds = 1 if source is None else sum(value is not None for value in source.values())
    if kinds != 1:
        return Cause(f"{field}.source", "Multiple dataVolume sources" if kinds else "Missing dataVolume valid source")
    return None
