"""ConfigMaps and Secrets: their keys, their size, and what `immutable` freezes.

Source: Kubernetes, pkg/apis/core/validation (ValidateSecret, ValidateConfigMap).
"""

import base64
from typing import Any

from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes, names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
IMMUTABLE = "field is immutable"
MAX_DATA = 1024 * 1024  # bytes of a Secret's or ConfigMap's values together
# type of a Secret -> the keys that its data must have
SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def prepare_secret(new: Object, _old: Object | None, _context: WriteContext) -> None:
    """`stringData` is for writing only: it goes into `data`. (Where it is no map of strings, the schema says so.)"""
    given = new.get("stringData")
    if given is None or (isinstance(given, dict) and all(isinstance(text, str) for text in given.values())):
        new.pop("stringData", None)
        if given:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in given.items()}
            new["data"] = (new.get("data") or {}) | encoded
    new.setdefault("type", "Opaque")


def _immutable_data(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    """`immutable: true` freezes data and itself."""
    if old is None or not old.get("immutable"):
        return []
    changed = [f for f in ("immutable", "data", "binaryData") if new.get(f) != old.get(f)]
    return [Cause(f, f"Forbidden: {IMMUTABLE} when `immutable` is set") for f in changed]


def validate_secret(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    """Keys, base64, the type's own keys, and that the type stays."""
    wrong, data, size = _immutable_data(new, old, context), new.get("data") or {}, 0
    for key, value in data.items():
        wrong += [causes.invalid(f"data[{key}]", key, c) for c in names.config_key(key)]
        try:
            size += len(base64.b64decode(value or "", validate=True))
        except ValueError:
            wrong.append(causes.invalid(f"data[{key}]", causes.OMITTED, "must be base64"))
    if size > MAX_DATA:
        wrong.append(causes.too_long("data", MAX_DATA))
    wrong += [causes.required(f"data[{key}]") for key in SECRET_KEYS.get(new.get("type", ""), ()) if key not in data]
    if old is not None and new.get("type") != old.get("type"):
        wrong.append(causes.invalid("type", new.get("type"), IMMUTABLE))
    return wrong


def validate_configmap(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
    """Keys, each in one of the two maps, and the size."""
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    keys = [(field, key) for field, given in (("data", data), ("binaryData", binary)) for key in given]
    wrong = [causes.invalid(f"{field}[{key}]", key, c) for field, key in keys for c in names.config_key(key)]
    twice = "duplicate of key present in binaryData"
    wrong += [causes.invalid(f"data[{key}]", key, twice) for key in data if key in binary]
    size = sum(len(text.encode()) for text in data.values()) + sum(len(text or "") * 3 // 4 for text in binary.values())
    if size > MAX_DATA:
        wrong.append(causes.too_long("", MAX_DATA))
    return wrong + _immutable_data(new, old, context)
