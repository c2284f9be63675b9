"""downwardAPI volumes: fields of the VMI's own metadata as files. Pure."""

import re
from typing import Any

from isthmus.engine.node.vm.errors import SpecError

Object = dict[str, Any]

_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def read_field(vmi: Object, path: str) -> str:
    """A field as Kubernetes writes it into a file. Raises SpecError for one that is not offered."""
    metadata = vmi["metadata"]
    if match := _KEYED.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = metadata.get(path.removeprefix("metadata.")) or {}
        return "".join(f"{key}={_quote(value)}\n" for key, value in sorted(values.items()))
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata.get(path.removeprefix("metadata."), ""))
    raise SpecError(
        "spec.volumes.downwardAPI.fields", f"{path!r}; expected metadata.name, namespace, uid, labels or annotations"
    )


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def build_files(vmi: Object, source: Object) -> dict[str, bytes]:
    """The files of a downwardAPI volume."""
    fields = source.get("fields") or source.get("items") or []
    return {
        entry["path"]: read_field(vmi, (entry.get("fieldRef") or {}).get("fieldPath", "")).encode() for entry in fields
    }
