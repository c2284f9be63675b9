"""What an agent must remember of a VM's networks to serve and undo them after its own restart: one JSON file a VM.

Written before the first link is made, so that whatever `kill -9` leaves can be found and removed. Values are written by
their types: dataclasses as objects, addresses as text, bytes as hex.
"""

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from isthmus.engine.node.net.link import Link
from isthmus.engine.node.net.model import Nic

_TEXTUAL = (IPv4Address, IPv4Interface, IPv4Network, Path)


@dataclass(frozen=True, slots=True)
class Record:
    """A VM's networks. `netns` is empty without root (`plain` holds its interfaces); `complete` once all is made."""

    uid: str
    namespace: str
    name: str
    netns: str
    links: tuple[Link, ...]
    plain: tuple[Nic, ...] = ()
    complete: bool = False


def encode(value: Any) -> Any:
    """A value of our dataclasses as JSON can hold it."""
    if dataclasses.is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return str(value) if isinstance(value, _TEXTUAL) else value


def decode(kind: Any, raw: Any) -> Any:
    """The value of type `kind` that `encode` wrote; fields of a newer version are passed over.

    Raises ValueError, TypeError, KeyError or AttributeError for anything else.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, raw)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: decode(hints[name], item) for name, item in raw.items() if name in hints})
    if origin is tuple:
        each = arguments if arguments[-1] is not Ellipsis else (arguments[0],) * len(raw)
        return tuple(decode(of, item) for of, item in zip(each, raw, strict=True))
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return {decode(arguments[0], key): decode(arguments[1], item) for key, item in raw.items()}
    if kind is bytes:
        return bytes.fromhex(raw)
    return kind(raw) if kind in (int, *_TEXTUAL) else raw


def _decode_union(kinds: tuple[Any, ...], raw: Any) -> Any:
    """None, or the dataclass whose fields the object has."""
    if raw is None:
        return None
    candidates = [kind for kind in kinds if kind is not type(None)]
    if len(candidates) == 1:
        return decode(candidates[0], raw)
    fits = [kind for kind in candidates if {f.name for f in dataclasses.fields(kind)} == set(raw)]
    return decode(fits[0], raw)


class Records:
    """The records of one node, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, uid: str) -> Path:
        """The file of one VM. A uid comes from the API server, yet is no path."""
        return self.directory / f"{uid.replace('/', '_').lstrip('.')}.json"

    def write(self, record: Record) -> None:
        """Keep it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.path(record.uid)
        temporary = path.with_suffix(".new")  # no fsync: no link outlives a power failure either
        temporary.write_text(json.dumps(encode(record), indent=1))
        temporary.replace(path)

    def read(self, uid: str) -> Record | None:
        """The VM's record; None if it has none. An unreadable one (of another version) counts as none."""
        return self._load(self.path(uid))

    def uids(self) -> list[str]:
        """The VMs that have a record, readable or not."""
        return sorted(path.stem for path in self.directory.glob("*.json")) if self.directory.is_dir() else []

    def forget(self, uid: str) -> None:
        """Remove it."""
        self.path(uid).unlink(missing_ok=True)

    def _load(self, path: Path) -> Record | None:
        try:
            record: Record = decode(Record, json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
            return None
        return record
