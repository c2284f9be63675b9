"""Plain QEMU for the tests: the same devices as our VMs have, without the product around them."""

import asyncio
import re
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from isthmus.lib import run

QEMU = "qemu-system-x86_64"
BUSES = {
    "virtio": ["-device", "virtio-blk-pci,drive=disk0"],
    "scsi": ["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-hd,bus=scsi.0,drive=disk0"],
    "sata": ["-device", "ich9-ahci,id=ahci", "-device", "ide-hd,bus=ahci.0,drive=disk0"],
}


@dataclass
class Machine:
    """A running QEMU whose serial port is a socket here; all that it said is in `text`."""

    process: object
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    began: float
    text: str = ""
    ended: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    async def read(self, timeout: float) -> bool:
        """Take what comes within `timeout` seconds; False when nothing came."""
        try:
            data = await asyncio.wait_for(self.reader.read(65536), timeout)
        except TimeoutError:
            return False
        self.ended = not data
        self.text += data.decode(errors="replace")
        return bool(data)

    async def until(self, pattern: str, timeout: float, *, start: int = 0) -> re.Match[str]:
        """Wait for `pattern` in the text from `start` on. Raises TimeoutError with the last lines."""
        deadline = time.monotonic() + timeout
        while (found := re.compile(pattern).search(self.text, start)) is None:
            if self.ended or time.monotonic() > deadline:
                raise TimeoutError(f"{pattern!r} did not come in {timeout} s; last was: {self.text[-1500:]}")
            await self.read(1)
        return found

    async def until_end(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self.ended:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the machine did not end in {timeout} s; last was: {self.text[-1500:]}")
            await self.read(1)

    async def type(self, line: str) -> None:
        self.writer.write(line.encode() + b"\r")
        await self.writer.drain()

    async def shell(self, command: str, timeout: float = 60) -> str:
        """What `command` prints in the shell at the other end."""
        start = len(self.text)
        await self.type(f"echo '<''<'; {command}; echo '>''>'")
        found = await self.until(r"<<\r?\n(?s:(.*?))>>", timeout, start=start)
        return found.group(1).replace("\r", "").strip()


@asynccontextmanager
async def boot(
    disk: Path,
    bus: str = "virtio",
    *,
    mac: str = "52:54:00:12:34:56",
    nic: str = "virtio-net-pci",
    memory: int = 512,
    extra: tuple[str, ...] = (),
    network: bool = True,
    keep: bool = False,
    cpus: int = 1,
):
    """Boot `disk` (on a copy-on-write overlay that is thrown away, unless `keep`); killed on leaving."""
    with tempfile.TemporaryDirectory(prefix="machine-") as scratch:
        socket = Path(scratch, "serial")
        image = disk
        if not keep:
            image = Path(scratch, "overlay.qcow2")
            await overlay(disk, image)
        net = ["-netdev", "user,id=net0,restrict=on", "-device", f"{nic},netdev=net0,mac={mac}"] if network else []
        argv = [
            "nice", "-n", "5", QEMU, "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max", "-machine", "q35",
            "-m", str(memory), "-smp", str(cpus), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-chardev", f"socket,id=serial0,path={socket},server=on,wait=on", "-serial", "chardev:serial0",
            "-device", "virtio-rng-pci",
            "-drive", f"file={image},if=none,id=disk0,cache=unsafe,discard=unmap,format={await format_of(image)}",
            *BUSES[bus], *net, *extra,
        ]  # fmt: skip
        began = time.monotonic()
        process = run.start(argv, log=Path(scratch, "log"))
        try:
            reader, writer = await _connect(socket, process, Path(scratch, "log"))
            machine = Machine(process, reader, writer, began)
            yield machine
            writer.close()
        finally:
            if process.poll() is None:
                run.kill_group(process.pid)
            process.wait()


async def overlay(base: Path, out: Path) -> None:
    await run.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.resolve(), "-F", await format_of(base), out])


async def format_of(image: Path) -> str:
    with image.open("rb") as file:
        return "qcow2" if file.read(4) == b"QFI\xfb" else "raw"


async def _connect(socket: Path, process, log: Path):
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            return await asyncio.open_unix_connection(str(socket), limit=1 << 20)
        except OSError:
            await asyncio.sleep(0.05)
    raise RuntimeError(f"QEMU did not start: {log.read_text()[-1000:]}")
