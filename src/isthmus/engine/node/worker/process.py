"""Start a worker's process, find it again after a restart of the agent, and learn how it ended."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.lib import run

IMAGE = "isthmus.dev/worker"
MODULE = "isthmus.engine.node.worker"
KILLED = 137
OURS = "ISTHMUS_"
PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy"})
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Files:
    """What a worker pod leaves on disk: in `pods/<uid>/`."""

    directory: Path

    @property
    def log(self) -> Path:
        """Standard output and error."""
        return self.directory / "worker.log"

    @property
    def exit(self) -> Path:
        """The exit code; its path in the process's arguments is how the process is known again."""
        return self.directory / "exit"

    @property
    def started(self) -> Path:
        """There from before the process is started on."""
        return self.directory / "started"


def is_worker(pod: Mapping[str, object]) -> bool:
    """Whether the Pod's first container is our own program."""
    spec = pod.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    image = str(containers[0].get("image", "")) if containers else ""
    name = image.split("@")[0]
    return name == IMAGE or name.startswith(f"{IMAGE}:")


def given_environment(container: Mapping[str, Any]) -> dict[str, str]:
    """What a Pod may say to the worker: its own settings and proxies. It runs as we do, so nothing that its interpreter
    or the loader would heed (PYTHONPATH, LD_PRELOAD, PATH ...)."""
    entries = [entry for entry in container.get("env") or () if "value" in entry]
    return {e["name"]: str(e["value"]) for e in entries if e["name"].startswith(OURS) or e["name"].lower() in PROXIES}


def find(files: Files) -> int | None:
    """The pid of the worker, if it lives."""
    marker = os.fsencode(files.exit)
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if marker in arguments and os.fsencode(MODULE) in arguments:
                    return int(entry.name)
    return None


def start(files: Files, arguments: Sequence[str], volumes: Mapping[str, str], environment: Mapping[str, str]) -> int:
    """Start the worker and give its pid. Raises CommandError."""
    files.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.started.touch()
    env = {**os.environ, **environment, "ISTHMUS_VOLUMES": json.dumps(dict(volumes)), "PYTHONUNBUFFERED": "1"}
    argv: list[run.Argument] = [sys.executable, "-m", MODULE, files.exit, *arguments]
    child = run.start(argv, log=files.log, cwd=files.directory, env=env)
    child.returncode = 0  # it is reaped by `reap`, not by Popen's destructor
    while is_alive(child.pid) and not (PROC / str(child.pid) / "cmdline").read_bytes():
        time.sleep(0.001)  # the kernel closes descriptors first and sets the arguments, which `find` reads, later
    return child.pid


def reap(pid: int) -> None:
    """If it was our child and has ended, take its status, so that no zombie is left."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    reap(pid)
    try:
        state = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def read_exit(files: Files) -> int:
    """The exit code of a worker that is gone."""
    try:
        return int(files.exit.read_text())
    except (OSError, ValueError):
        return KILLED


def terminate(pid: int, *, force: bool) -> None:
    """Ask the worker and its children to end, or end them."""
    run.kill_group(pid, signal.SIGKILL if force else signal.SIGTERM)
