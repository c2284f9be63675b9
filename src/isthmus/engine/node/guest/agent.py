"""The QEMU guest agent's protocol: lines of JSON over a socket whose other end is the guest's to misuse.

Everything that comes back is bounded in size and time, and is checked before it reaches a status. Source: QEMU,
docs/interop/qemu-ga.rst and qga/qapi-schema.json.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from isthmus.engine.node import sockets

TIMEOUT = 5.0
LINE_LIMIT = 1 << 20
MAX_ITEMS = 256
MAX_TEXT = 256
SENTINEL = b"\xff"
EXEC_LOOK = 0.2  # seconds between two questions whether a command in the guest has ended


class GuestAgentError(Exception):
    """The agent is absent, refuses, or talks nonsense."""


class GuestAgent:
    """Calls to the agent of one guest, one after the other: the channel has room for a single client."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()

    async def call(self, command: str, *, timeout: float = TIMEOUT, **arguments: Any) -> Any:
        """Run one command and return its result. Raises GuestAgentError."""
        async with self._turn, self._session(timeout) as (reader, writer):
            return await _execute(reader, writer, command, arguments, timeout)

    async def tell(self, command: str, **arguments: Any) -> None:
        """Send a command that has no answer when it succeeds (guest-shutdown). Raises GuestAgentError."""
        async with self._turn, self._session(TIMEOUT) as (_, writer):
            writer.write(_encode(command, arguments))
            await asyncio.wait_for(writer.drain(), TIMEOUT)

    @asynccontextmanager
    async def _session(self, timeout: float) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            with sockets.short_path(self._path) as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
        except OSError as error:
            raise GuestAgentError(f"no channel to a guest agent ({error.strerror})") from error
        try:
            await _sync(reader, writer, timeout)
            yield reader, writer
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise GuestAgentError(f"the guest agent does not answer ({type(error).__name__})") from error
        finally:
            writer.close()

    async def info(self) -> tuple[str, list[str]]:
        """(version, names of the commands that are enabled)."""
        found = _mapping(await self.call("guest-info"))
        commands = [
            _text(_mapping(c).get("name"))
            for c in _items(found.get("supported_commands"))
            if _mapping(c).get("enabled")
        ]
        return _text(found.get("version")), commands

    async def osinfo(self) -> dict[str, str]:
        """Name, version and kernel of the guest's system, in KubeVirt's `guestOSInfo` words."""
        found = _mapping(await self.call("guest-get-osinfo"))
        words = {
            "name": "name",
            "pretty-name": "prettyName",
            "version": "version",
            "version-id": "versionId",
            "id": "id",
            "kernel-release": "kernelRelease",
            "kernel-version": "kernelVersion",
            "machine": "machine",
        }
        return {word: _text(found[key]) for key, word in words.items() if key in found}

    async def hostname(self) -> str:
        """The guest's own idea of its name."""
        return _text(_mapping(await self.call("guest-get-host-name")).get("host-name"))

    async def interfaces(self) -> list[dict[str, Any]]:
        """The guest's network interfaces: name, mac, addresses (without link-local ones), in the guest's order."""
        return [parse_interface(entry) for entry in _items(await self.call("guest-network-get-interfaces"))]

    async def users(self) -> list[dict[str, Any]]:
        """Who is logged in."""
        found = [_mapping(user) for user in _items(await self.call("guest-get-users"))]
        return [
            {
                "userName": _text(user.get("user")),
                "domain": _text(user.get("domain")),
                "loginTime": _number(user.get("login-time")),
            }
            for user in found
        ]

    async def filesystems(self) -> list[dict[str, Any]]:
        """Mounted file systems with their sizes in bytes."""
        found = [_mapping(fs) for fs in _items(await self.call("guest-get-fsinfo"))]
        return [
            {
                "diskName": _text(fs.get("name")),
                "mountPoint": _text(fs.get("mountpoint")),
                "fileSystemType": _text(fs.get("type")),
                "usedBytes": int(_number(fs.get("used-bytes"))),
                "totalBytes": int(_number(fs.get("total-bytes"))),
            }
            for fs in found
        ]

    async def freeze(self) -> int:
        """Flush and freeze the guest's file systems; how many. The agent runs the guest's hooks first."""
        return int(_number(await self.call("guest-fsfreeze-freeze", timeout=60)))

    async def thaw(self) -> int:
        """Undo `freeze`."""
        return int(_number(await self.call("guest-fsfreeze-thaw", timeout=60)))

    async def freeze_status(self) -> str:
        """`thawed` or `frozen`."""
        return _text(await self.call("guest-fsfreeze-status"))

    async def ping(self, timeout: float) -> None:
        """Whether it answers within `timeout` seconds; else GuestAgentError."""
        await self.call("guest-ping", timeout=timeout)

    async def execute(self, path: str, arguments: Sequence[str], timeout: float) -> int:
        """Run a command in the guest and give its exit code. One that does not end in time goes on there."""
        return (await self._execute(path, arguments, timeout, capture=False))[0]

    async def output(self, path: str, arguments: Sequence[str], timeout: float = TIMEOUT) -> str:
        """What a command in the guest writes. Raises GuestAgentError if it fails."""
        code, text = await self._execute(path, arguments, timeout, capture=True)
        if code:
            raise GuestAgentError(f"{path} exited with {code}")
        return text

    async def _execute(self, path: str, arguments: Sequence[str], timeout: float, *, capture: bool) -> tuple[int, str]:
        how = {"path": path, "arg": list(arguments), "capture-output": capture}
        pid = int(_number(_mapping(await self.call("guest-exec", timeout=timeout, **how)).get("pid")))
        async with _in_time(f"{path} did not end within {timeout:g} s", timeout):
            while True:
                found = _mapping(await self.call("guest-exec-status", timeout=timeout, pid=pid))
                if found.get("exited"):
                    break
                await asyncio.sleep(EXEC_LOOK)
        code = int(_number(found.get("exitcode", 1)))  # no code: a signal ended it
        return code, _decoded(found.get("out-data"))

    async def write_file(self, path: str, data: bytes) -> None:
        """Replace what a file in the guest holds."""
        handle = int(_number(await self.call("guest-file-open", path=path, mode="w")))
        content: dict[str, Any] = {"buf-b64": base64.b64encode(data).decode()}
        await self.call("guest-file-write", handle=handle, **content)
        await self.call("guest-file-close", handle=handle)

    async def set_password(self, user: str, password: bytes) -> None:
        """Change a user's password."""
        encoded = base64.b64encode(password).decode()
        await self.call("guest-set-user-password", username=user, password=encoded, crypted=False)

    async def set_authorized_keys(self, user: str, keys: Sequence[str]) -> None:
        """Make `keys` the SSH keys that may log in as `user`, and no others."""
        await self.call("guest-ssh-add-authorized-keys", username=user, keys=list(keys), reset=True)

    async def shutdown(self, mode: str = "powerdown") -> None:
        """Ask the guest's init to end the system: `powerdown`, `reboot` or `halt`."""
        await self.tell("guest-shutdown", mode=mode)


@asynccontextmanager
async def _in_time(complaint: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise GuestAgentError(complaint) from error


def parse_interface(entry: Any) -> dict[str, Any]:
    """One entry of guest-network-get-interfaces, cut to what may go into a status."""
    found = _mapping(entry)
    addresses = [_mapping(address) for address in _items(found.get("ip-addresses"))]
    return {
        "name": _text(found.get("name")),
        "mac": _text(found.get("hardware-address")).lower(),
        "addresses": [text for a in addresses if (text := _text(a.get("ip-address"))) and not text.startswith("fe80:")],
    }


def _encode(command: str, arguments: dict[str, Any]) -> bytes:
    message: dict[str, Any] = {"execute": command}
    if arguments:
        message["arguments"] = arguments
    return json.dumps(message).encode() + b"\n"


async def _sync(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
    """Get past whatever an earlier client left in the channel: the answer to our number follows a 0xFF byte."""
    number = secrets.randbits(31)
    writer.write(SENTINEL + _encode("guest-sync-delimited", {"id": number}))
    async with asyncio.timeout(timeout):
        while True:
            await reader.readuntil(SENTINEL)
            line = await reader.readuntil(b"\n")
            if _parse(line).get("return") == number:
                return


def _parse(line: bytes) -> dict[str, Any]:
    try:
        return _mapping(json.loads(line))
    except (ValueError, RecursionError):
        return {}


async def _execute(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    command: str,
    arguments: dict[str, Any],
    timeout: float,
) -> Any:
    writer.write(_encode(command, arguments))
    async with asyncio.timeout(timeout):
        answer = _parse(await reader.readuntil(b"\n"))
    if "return" in answer:
        return answer["return"]
    description = _text(_mapping(answer.get("error")).get("desc")) or "an answer that is no JSON object"
    raise GuestAgentError(f"{command}: {description}")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value[:MAX_ITEMS] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "".join(c for c in value[:MAX_TEXT] if c.isprintable()) if isinstance(value, str) else ""


def _decoded(value: Any) -> str:
    """Base64 from a guest as text."""
    try:
        return base64.b64decode(value, validate=True).decode(errors="replace") if isinstance(value, str) else ""
    except ValueError:
        return ""


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63 else 0
