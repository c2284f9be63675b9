"""Run a plan's steps: each is one process that reads its lines from standard input (or, for sysctl, no process)."""

import asyncio
import errno
from collections.abc import Iterable
from pathlib import Path

from isthmus.engine.node.net import netns
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.net.plan import Step
from isthmus.lib import run

_SYSCTL = Path("/proc/sys")
_ABSENT = ("Cannot find device", "Cannot remove namespace file", "Cannot open network namespace")


async def apply(steps: Iterable[Step]) -> None:
    """Run `steps` in order. Raises NetworkError at the first that fails; the caller then undoes all of them."""
    for step in steps:
        if step.lines:
            await _run(step)


async def apply_at_once(steps: Iterable[Step]) -> None:
    """Run steps that do not depend on each other side by side. Raises the NetworkError of one that failed."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(apply([step]))
    except* NetworkError as failed:
        first = failed.exceptions[0]
    else:
        return
    raise first


async def remove(step: Step) -> None:
    """Run an `ip` step to its end whatever fails: what is gone already is no error. Raises NetworkError else."""
    try:
        done = await run.run([*_inside(step), "ip", "-force", "-batch", "-"], stdin=_text(step), check=False)
    except run.CommandError as error:
        raise NetworkError("NetworkFailed", str(error)) from error
    complaints = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    real = [line for line in complaints if not line.startswith(("Command failed", *_ABSENT))]
    if real:
        raise NetworkError("NetworkFailed", f"ip: {'; '.join(real)}")


async def _run(step: Step) -> None:
    if step.tool == "sysctl":
        await _write_sysctls(step)
        return
    try:
        await run.run([*_inside(step), step.tool, "-f" if step.tool == "nft" else "-batch", "-"], stdin=_text(step))
    except run.CommandError as error:
        raise NetworkError("NetworkFailed", _explain(step, error)) from error


def _explain(step: Step, error: run.CommandError) -> str:
    """The tool's first complaint and the line that it is about (`Command failed -:3` counts from 1)."""
    complaints = error.stderr.strip().splitlines()
    number = next((line.rsplit(":", 1)[-1] for line in complaints if line.startswith("Command failed -:")), "")
    about = f" ({step.lines[int(number) - 1]})" if number.isdigit() and 0 < int(number) <= len(step.lines) else ""
    return f"{step.tool}: {complaints[0] if complaints else error.reason}{about}"


def _inside(step: Step) -> list[str]:
    """The command that enters the step's namespace. `ip -n` would remount things, which not every place allows."""
    return ["nsenter", f"--net={netns.path_of(step.netns)}", "--"] if step.netns else []


def _text(step: Step) -> bytes:
    return ("\n".join(step.lines) + "\n").encode()


async def _write_sysctls(step: Step) -> None:
    def write() -> None:
        for line in step.lines:
            name, value = line.split("=", 1)
            path = _SYSCTL / name
            if path.read_text().strip() != value:
                path.write_text(value)

    try:
        await (netns.run_inside(step.netns, write) if step.netns else asyncio.to_thread(write))
    except OSError as error:
        hint = " (is /proc/sys read-only here?)" if error.errno in (errno.EROFS, errno.EACCES) else ""
        raise NetworkError("NetworkFailed", f"sysctl {error.filename}: {error.strerror}{hint}") from error
