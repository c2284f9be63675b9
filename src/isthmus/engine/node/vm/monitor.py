"""The only door to QEMU's monitor (QMP). One `Monitor` a machine; it connects again when the connection breaks."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

from isthmus.engine.node import sockets
from isthmus.engine.node.vm.errors import MonitorError

COMMAND_TIMEOUT = 20.0
READ_LIMIT = 4 << 20
WATCHED = ("SHUTDOWN", "RESET", "STOP", "RESUME", "GUEST_PANICKED", "WATCHDOG", "VSERPORT_CHANGE", "BLOCK_IO_ERROR")

# The library logs every broken connection as an error; here a guest that ends is an everyday event.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

Event = dict[str, Any]


class Monitor:
    """Commands and events of one QEMU. Every command raises MonitorError: refused, broken or too late."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._client: QMPClient | None = None
        self._connecting = asyncio.Lock()

    async def _connected(self) -> QMPClient:
        async with self._connecting:
            client = self._client
            if client is not None and client.runstate.name == "RUNNING":
                return client
            await self._drop()
            client = QMPClient(self._name, readbuflen=READ_LIMIT)
            try:
                with sockets.short_path(self._path) as path:
                    await asyncio.wait_for(client.connect(path), COMMAND_TIMEOUT)
            except (QMPError, OSError, TimeoutError) as error:
                raise MonitorError(f"the monitor of {self._name} does not answer: {error}") from error
            self._client = client
            return client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # What it raises is why the connection ended, which whoever used it has been told.
            with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                await asyncio.wait_for(client.disconnect(), 2)

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command; underscores in argument names stand for dashes."""
        client = await self._connected()
        options = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            return await asyncio.wait_for(client.execute(command, options or None), COMMAND_TIMEOUT)
        except ExecuteError as error:
            raise MonitorError(f"{command}: {error}") from error
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            await self._drop()
            raise MonitorError(f"{command}: the connection to {self._name} broke ({type(error).__name__})") from error

    async def follow(self, on_connect: Callable[[], None]) -> AsyncIterator[Event]:
        """Events until the connection breaks. `on_connect` is called when none can be missed any more."""
        client = await self._connected()
        listener = EventListener(WATCHED)
        with client.listen(listener):
            on_connect()
            while client.runstate.name == "RUNNING":
                with contextlib.suppress(TimeoutError):
                    yield dict(await asyncio.wait_for(listener.get(), 1))

    async def close(self) -> None:
        """Disconnect. The machine is not touched."""
        await self._drop()

    async def status(self) -> str:
        """QEMU's run state: running, paused, shutdown, guest-panicked, io-error, internal-error, prelaunch ..."""
        return str((await self.execute("query-status"))["status"])

    async def pause(self) -> None:
        """Stop the virtual CPUs."""
        await self.execute("stop")

    async def resume(self) -> None:
        """Let the virtual CPUs run."""
        await self.execute("cont")

    async def powerdown(self) -> None:
        """Press the power button: the guest may heed it."""
        await self.execute("system_powerdown")

    async def reset(self) -> None:
        """Press the reset button."""
        await self.execute("system_reset")

    async def quit(self) -> None:
        """End QEMU. That the connection breaks is the success."""
        client = await self._connected()
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
            await asyncio.wait_for(client.execute("quit"), COMMAND_TIMEOUT)
        await self._drop()

    async def set_link(self, interface: str, *, up: bool) -> None:
        """Plug or unplug the cable of the card of that name in the VMI."""
        await self.execute("set_link", name=f"ua-{interface}", up=up)

    async def screenshot(self, directory: Path) -> bytes:
        """The screen as PNG; it goes through a file of its own in the machine's `directory`, removed again."""
        scratch = directory / f"screenshot-{secrets.token_hex(4)}.png"
        try:
            await self.execute("screendump", filename=str(scratch), format="png")
            return scratch.read_bytes()
        finally:
            scratch.unlink(missing_ok=True)

    async def agent_connected(self) -> bool:
        """Whether a guest agent has opened its channel."""
        devices = await self.execute("query-chardev")
        return any(device["label"] == "agent0" and device["frontend-open"] for device in devices)

    async def cpu_count(self) -> int:
        """Virtual CPUs that are plugged in."""
        return len(await self.execute("query-cpus-fast"))

    async def memory(self) -> int:
        """Guest memory now, in bytes: less than at boot while the balloon is inflated."""
        return int((await self.execute("query-balloon"))["actual"])
