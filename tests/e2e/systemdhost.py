"""This machine once more, with a real systemd as its first process: it boots, runs commands, powers off, boots again.

`systemd-boot.sh` makes it of namespaces and an overlay over this machine's root; the network namespace is the caller's.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.platform import BIN, sh, wait_for

SCRIPT = Path(__file__).with_name("systemd-boot.sh")
SYSTEMD = Path("/usr/lib/systemd/systemd")
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")


class SystemdHost:
    """`shared` directories are this machine's own; everything else that it writes is lost with it."""

    def __init__(self, *shared: Path) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="sd-", dir="/tmp"))
        sh("mount", "-t", "tmpfs", "tmpfs", str(self._scratch))
        checkout = Path(__file__).parents[2]
        self._shared = [checkout, Path(sys.base_prefix), *shared] if sys.base_prefix != "/usr" else [checkout, *shared]
        self._outer: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def boot(self) -> None:
        argv = [
            "unshare",
            *NAMESPACES,
            "--fork",
            "--kill-child",
            str(SCRIPT),
            str(self._scratch),
            *map(str, self._shared),
        ]
        self._outer = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        self._pid = wait_for(self._find_systemd, 20, why=lambda: self._outer.poll())
        wait_for(lambda: self.run("systemctl", "is-system-running", check=False) in ("running", "degraded"), 60)

    def _find_systemd(self) -> int | None:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        return int(children[0]) if children and Path(f"/proc/{children[0]}/exe").resolve() == SYSTEMD else None

    def run(self, *argv: str, check: bool = True) -> str:
        """A command inside; what it wrote."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--wd=/root"]
        done = subprocess.run([*enter, *argv], capture_output=True, text=True, timeout=180, check=False)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}{self.journal()}"
        return (done.stdout if check else done.stdout + done.stderr).strip()

    def isthmus(self, *argv: str, check: bool = True) -> str:
        return self.run(str(BIN / "isthmus"), *argv, check=check)

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "--lines=80", check=False)

    def power_off(self, seconds: float = 120) -> None:
        """As a person does it, or a power button; returns when nothing runs any more."""
        self.run("systemctl", "poweroff", "--no-block")
        self._outer.wait(seconds)
        self._outer = None

    def close(self) -> None:
        """What is left of it goes, whatever state it is in."""
        if self._outer:
            self._outer.kill()  # and with it the first process, and so all of its namespace
            self._outer.wait(30)
        sh("umount", str(self._scratch))
        shutil.rmtree(self._scratch)
