"""Acts on a running machine and questions to its guest, under the names of KubeVirt's subresources."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from isthmus.engine.node.guest.agent import GuestAgentError
from isthmus.engine.node.vm.running import Running
from isthmus.lib.tasks import TaskSet
from isthmus.machinery import errors

Object = dict[str, Any]
Act = Callable[[Running, Object, TaskSet], Awaitable[None]]
Query = Callable[[Running], Awaitable[Object]]

API_VERSION = "subresources.kubevirt.io/v1"
UNFREEZE_SECONDS = 300.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(text: str) -> float:
    """A Go duration such as 1m30s, in seconds. Raises ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; expected e.g. 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


async def _pause(running: Running, _options: Object, _tasks: TaskSet) -> None:
    await running.monitor.pause()


async def _unpause(running: Running, _options: Object, _tasks: TaskSet) -> None:
    await running.monitor.resume()


async def _reset(running: Running, _options: Object, _tasks: TaskSet) -> None:
    await running.monitor.reset()


async def _soft_reboot(running: Running, _options: Object, _tasks: TaskSet) -> None:
    await running.reboot()


async def _freeze(running: Running, options: Object, tasks: TaskSet) -> None:
    try:
        seconds = parse_duration(options["unfreezeTimeout"]) if options.get("unfreezeTimeout") else UNFREEZE_SECONDS
    except ValueError as error:
        raise errors.bad_request(f"unfreezeTimeout: {error}") from error
    await running.agent.freeze()
    if seconds > 0:
        tasks.spawn(_thaw_later(running, seconds), name=f"unfreeze {running.uid}")


async def _thaw_later(running: Running, seconds: float) -> None:
    """Whoever froze the guest may never come back: its writes must not wait for ever."""
    await asyncio.sleep(seconds)
    if not running.ended and await running.agent.freeze_status() == "frozen":
        await running.agent.thaw()
        running.poll()


async def _unfreeze(running: Running, _options: Object, _tasks: TaskSet) -> None:
    await running.agent.thaw()


async def _os_info(running: Running) -> Object:
    version, commands = await running.agent.info()
    os_info = await running.agent.osinfo()
    answer: Object = {
        "kind": "VirtualMachineInstanceGuestAgentInfo",
        "apiVersion": API_VERSION,
        "guestAgentVersion": version,
        "supportedCommands": [{"name": name, "enabled": True} for name in commands],
        "hostname": running.guest.hostname,
        "os": os_info,
    }
    optional = (("userList", running.agent.users), ("fsInfo", running.agent.filesystems))
    for field, ask in optional:
        try:
            items = await ask()
        except GuestAgentError:
            continue  # a guest may have the command switched off
        answer[field] = {"disks": items} if field == "fsInfo" else items
    return answer


async def _user_list(running: Running) -> Object:
    items = await running.agent.users()
    return {"kind": "VirtualMachineInstanceGuestOSUserList", "apiVersion": API_VERSION, "metadata": {}, "items": items}


async def _filesystem_list(running: Running) -> Object:
    items = await running.agent.filesystems()
    return {"kind": "VirtualMachineInstanceFileSystemList", "apiVersion": API_VERSION, "metadata": {}, "items": items}


ACTS: dict[str, Act] = {
    "pause": _pause,
    "unpause": _unpause,
    "reset": _reset,
    "softreboot": _soft_reboot,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
}
QUERIES: dict[str, Query] = {
    "guestosinfo": _os_info,
    "userlist": _user_list,
    "filesystemlist": _filesystem_list,
}
