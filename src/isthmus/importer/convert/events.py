"""What the appliance reports: JSON lines on the serial console, among whatever else a console shows.

Pure; fed with console text by the importer's controller, whole or growing. The lines are written by
appliance/guest/report.sh. A guest's disk decides what stands in them, so every value is bounded and taken as text.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_MARK = '{"isthmus":'
_LONGEST_LINE = 8192
_MOST_EVENTS = 2000
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Change:
    """One file of the guest: `action` is created, edited or disabled; `original` is where the old one is kept."""

    action: str
    path: str
    original: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that one conversion said.

    `verdict` is converted, unsupported, failed, or "" while it still runs; `reason` says in words why a guest is not
    converted. `interfaces` are the pinned names and their MACs, `addresses` the static addresses ("192.0.2.7/24") that
    the guest's own configuration gives those: what a boot proof may look for.
    """

    os: str = ""
    version: str = ""
    name: str = ""
    kernel: str = ""
    bootloader: str = ""
    root: str = ""
    filesystem: str = ""
    initramfs: str = ""
    agent: str = ""
    interfaces: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, list[str]] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    verdict: str = ""
    reason: str = ""
    seconds: float = 0.0


def find_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of our own among console lines; what is cut, foreign or too long is passed over."""
    count = 0
    for line in lines:
        start = line.find(_MARK)
        if start < 0 or len(line) > _LONGEST_LINE:
            continue
        try:
            event, _ = _DECODER.raw_decode(line, start)
        except ValueError:
            continue
        count += 1
        if count > _MOST_EVENTS:
            return
        yield event


def parse(lines: Iterable[str]) -> Report:
    """The report that these console lines make up so far."""
    values: dict[str, Any] = {}
    interfaces: dict[str, str] = {}
    addresses: dict[str, list[str]] = {}
    changes: list[Change] = []
    warnings: list[str] = []
    for event in find_events(lines):
        text = {key: str(value) for key, value in event.items()}
        values["seconds"] = _number(event.get("seconds"), values.get("seconds", 0.0))
        match text["isthmus"]:
            case "root":
                values |= {"root": text.get("device", ""), "filesystem": text.get("filesystem", "")}
            case "os":
                values |= {"os": text.get("id", ""), **{key: text.get(key, "") for key in _OS_FIELDS}}
            case "kernel":
                values |= {"kernel": text.get("release", ""), "bootloader": text.get("bootloader", "")}
            case "interface":
                interfaces[text.get("name", "")] = text.get("mac", "")
            case "address":
                addresses.setdefault(text.get("name", ""), []).append(text.get("address", ""))
            case "change":
                changes.append(Change(*(text.get(key, "") for key in ("action", "path", "original", "reason"))))
            case "warning":
                warnings.append(text.get("message", ""))
            case "verdict":
                values |= {"verdict": text.get("verdict", ""), "reason": text.get("reason", "")}
    return Report(
        **values, interfaces=interfaces, addresses=addresses, changes=tuple(changes), warnings=tuple(warnings)
    )


_OS_FIELDS = ("version", "name", "initramfs", "agent")


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise
