"""`Machine` from the JSON that `worker.inspect` made of it: what a controller reads back from a worker's log."""

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from isthmus.importer.sources.machine import Machine


def read_machine(plain: Mapping[str, Any]) -> Machine:
    """The machine. Raises ValueError for JSON that no worker wrote."""
    try:
        machine: Machine = _read(Machine, plain)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is no description of a machine: {error}") from error
    return machine


def _read(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        spelled = {_camel(f.name): f.name for f in dataclasses.fields(kind)}
        return kind(**{spelled[key]: _read(hints[spelled[key]], item) for key, item in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], item) for item in value)
    if get_origin(kind) is types.UnionType:
        return _read(next(k for k in get_args(kind) if k is not types.NoneType), value)
    if get_origin(kind) is types.MappingProxyType:
        return types.MappingProxyType({str(k): str(v) for k, v in value.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return kind(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
