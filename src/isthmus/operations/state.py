"""What is known of a running home from its `run/` directory: the supervisor's pid and port."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.lib.home import Home


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor's own record. `started` (ticks since boot) tells its process from a later one with its pid."""

    pid: int
    started: int
    port: int
    nodes: tuple[str, ...]


def _path(home: Home) -> Path:
    return home.run / "supervisor.json"


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is no such process (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def write(home: Home, port: int, nodes: tuple[str, ...]) -> None:
    """Record this process as the home's supervisor."""
    pid = os.getpid()
    record = State(pid, process_start(pid) or 0, port, nodes)
    temporary = _path(home).with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record)))
    temporary.rename(_path(home))


def read(home: Home) -> State | None:
    """The running supervisor; None if there is none."""
    try:
        record = json.loads(_path(home).read_text())
    except (OSError, ValueError):
        return None
    state = State(record["pid"], record["started"], record["port"], tuple(record["nodes"]))
    return state if process_start(state.pid) == state.started else None


def clear(home: Home) -> None:
    """Forget the supervisor."""
    _path(home).unlink(missing_ok=True)
