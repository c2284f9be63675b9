"""The cgroup of a machine: counted and limited like a Pod's. Both hierarchies behind one small, pure plan.

Version 2: one directory; version 1: one for each controller. Nothing that is mounted is changed: we only make
directories of our own below the root `isthmus`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CPUS = os.cpu_count() or 1
CONTROLLERS = ("cpu", "memory", "pids")
_ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1"; shift; done 2>/dev/null; shift; exec "$@"'  # 0: who writes it


@dataclass(frozen=True, slots=True)
class Plan:
    """Directories to make, values to write (file -> text), and where to put the process."""

    directories: tuple[Path, ...]
    values: tuple[tuple[Path, str], ...]
    procs: tuple[Path, ...]


def detect_version(root: Path = ROOT) -> int:
    """2, 1 or 0 (none that we can use)."""
    if (root / "cgroup.controllers").exists() and "memory" in (root / "cgroup.controllers").read_text():
        return 2
    return 1 if all((root / controller / "cgroup.procs").exists() for controller in CONTROLLERS) else 0


def build_plan(version: int, node: str, uid: str, *, vcpus: int, memory_limit: int = 0, root: Path = ROOT) -> Plan:
    """Weights for CPU (a share for each virtual CPU); a limit for memory only if one is asked for (bytes).

    All machines together weigh what the host's CPUs do, as the kubelet has it for all Pods; the platform's processes
    get their part beside them. What QEMU needs beside the guest's memory depends on devices, load and accelerator: a
    limit by estimate kills VMs.
    """
    if version == 2:
        group = root / "isthmus" / node / uid
        values = (
            *((above / "cpu.weight", _weight(CPUS)) for above in (group.parent.parent, group.parent)),
            (group / "cpu.weight", _weight(vcpus)),
            (group / "memory.max", str(memory_limit or "max")),
        )
        return Plan((group,), values, (group / "cgroup.procs",))
    if version == 1:
        groups = {controller: root / controller / "isthmus" / node / uid for controller in CONTROLLERS}
        above = groups["cpu"].parent
        values = (
            *((directory / "cpu.shares", str(1024 * CPUS)) for directory in (above.parent, above)),
            (groups["cpu"] / "cpu.shares", str(max(2, 1024 * vcpus))),
            (groups["memory"] / "memory.limit_in_bytes", str(memory_limit or -1)),
        )
        return Plan(tuple(groups.values()), values, tuple(group / "cgroup.procs" for group in groups.values()))
    return Plan((), (), ())


def _weight(cpus: int) -> str:
    return str(max(1, min(10000, 100 * cpus)))


def _enable_v2(group: Path, root: Path) -> None:
    for parent in (root, *reversed([p for p in group.parents if root in p.parents])):
        for controller in CONTROLLERS:
            _write(parent / "cgroup.subtree_control", f"+{controller}")


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True


def prepare(plan: Plan, root: Path = ROOT) -> list[str]:
    """Make the groups of `plan` and write their values. Gives what could not be done: a VM runs without it as well."""
    for directory in plan.directories:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return [f"{directory}: {error.strerror}"]
    if len(plan.directories) == 1:
        _enable_v2(plan.directories[0], root)
    return [str(path) for path, text in plan.values if not _write(path, text)]


def confined(argv: Sequence[str], plan: Plan) -> list[str]:
    """`argv` begun inside the groups, so that all it ever uses is counted, and whoever starts it may die at any moment.

    sh becomes the program that it runs: no process is left between.
    """
    return ["sh", "-c", _ENTER, "sh", *map(str, plan.procs), "--", *argv] if plan.procs else list(argv)


def enter(plan: Plan, pid: int) -> list[str]:
    """Put `pid` into the groups of `plan`, which exist, if it is not there. Gives those that it could not be put into.

    To look first is cheap; to move a process takes the kernel some ten milliseconds, one after another.
    """
    return [str(path) for path in plan.procs if not (_holds(path, pid) or _write(path, str(pid)))]


def _holds(procs: Path, pid: int) -> bool:
    try:
        return str(pid) in procs.read_text().split()
    except OSError:
        return False


def remove_node(node: str, root: Path = ROOT) -> None:
    """Remove the groups of a node whose machines have all ended, and ours above them if they hold no other's."""
    for top in (root / "isthmus", *(root / controller / "isthmus" for controller in CONTROLLERS)):
        leave(Plan((*_machines(top / node), top / node, top), (), ()))


def _machines(node: Path) -> list[Path]:
    """The groups below a node's; none where it does not exist or may not be read."""
    try:
        return sorted(entry for entry in node.iterdir() if entry.is_dir())
    except OSError:
        return []


def leave(plan: Plan) -> None:
    """Remove the groups of a machine that has ended."""
    for directory in plan.directories:
        try:
            os.rmdir(directory)  # noqa: PTH106 (a cgroup directory "contains" its files and is removed as it is)
        except OSError:
            continue
