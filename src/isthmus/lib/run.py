"""The only door to other processes: run one to its end, or start one that lives on.

Nothing is ever run through a shell, and secrets go by stdin or a file, never by argv.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Argument = str | Path


class CommandError(Exception):
    """A command could not be started, failed, or ran past its deadline. `str()` is fit to show to a person."""

    def __init__(self, argv: Sequence[Argument], reason: str, stderr: str = "") -> None:
        self.argv = [str(a) for a in argv]
        self.reason = reason
        self.stderr = stderr
        last = stderr.strip().splitlines()[-1] if stderr.strip() else ""
        super().__init__(f"{self.argv[0]}: {reason}" + (f": {last}" if last else ""))


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")


async def run(
    argv: Sequence[Argument],
    *,
    stdin: bytes | None = None,
    timeout: float = 60,
    check: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run `argv` to its end and return what it wrote.

    Raises CommandError if it cannot be started, does not end within `timeout` seconds (it is then killed with its
    process group), or, with `check`, exits other than 0.
    """
    source = subprocess.DEVNULL if stdin is None else _held(stdin)
    try:
        process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(argv, f"cannot be started ({error.strerror})") from error
    finally:
        if stdin is not None:
            os.close(source)
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError as error:
        raise CommandError(argv, f"did not end within {timeout:g} s") from error
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            await process.wait()
    if check and process.returncode:
        raise CommandError(argv, f"exited with {process.returncode}", err.decode(errors="replace"))
    return Completed(process.returncode or 0, out, err)


def _held(data: bytes) -> int:
    """`data` as a file in memory, to be read from its beginning. A pipe would break when its reader ends early."""
    descriptor = os.memfd_create("stdin")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def start(
    argv: Sequence[Argument],
    *,
    log: Path | int,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, so that it outlives us; its output is appended to `log`.

    Raises CommandError if it cannot be started.
    """
    output = (
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if isinstance(log, Path) else log
    )
    try:
        return subprocess.Popen(
            [str(a) for a in argv],
            stdin=stdin,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(argv, f"cannot be started ({error.strerror})") from error
    finally:
        if isinstance(log, Path):
            os.close(output)


def kill_group(pid: int, sig: signal.Signals = signal.SIGKILL) -> None:
    """Send `sig` to the process group that `pid` leads; a group that is gone is no error."""
    try:
        os.killpg(pid, sig)
    except ProcessLookupError:
        return
