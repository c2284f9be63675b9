"""Where a guest's port is reached from the agent: its Pod address, or with user networking a forward of the host."""

import socket
from typing import Any

from isthmus.engine.node.vm.errors import MonitorError
from isthmus.engine.node.vm.running import Running
from isthmus.machinery import errors

Object = dict[str, Any]


def find_target(record: Object, port: int, protocol: str) -> tuple[str, int] | None:
    """(host, port) by the machine's record; None if user networking has no forward for the port yet."""
    for nic in record.get("nics") or ():
        for forward in nic.get("forwards") or ():
            if forward["port"] == port and str(forward["protocol"]).lower() == protocol:
                return forward["host"], int(forward["host_port"])
    nics = record.get("nics") or ()
    if not nics or not nics[0].get("tap"):
        return None
    addresses = [nics[0].get("pod_ip"), *(address.split("/")[0] for address in nics[0].get("addresses") or ())]
    return next(((address, port) for address in addresses if address), None)


def free_port(kind: int) -> int:
    """A port of loopback that nobody has now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ensure_target(running: Running, record: Object, port: int, protocol: str) -> tuple[str, int]:
    """As `find_target`; where user networking has no forward, QEMU makes one. Raises StatusError."""
    if protocol not in ("tcp", "udp"):
        raise errors.bad_request(f"unknown protocol {protocol!r}; expected tcp or udp")
    known = running.forwards.get((protocol, port)) or find_target(record, port, protocol)
    if known:
        return known
    nics = record.get("nics") or ()
    if not nics or nics[0].get("tap"):
        raise errors.bad_request("the machine has no network interface with an address")
    host_port = free_port(socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    command = f"hostfwd_add net0 {protocol}:127.0.0.1:{host_port}-:{port}"
    try:
        answer = await running.monitor.execute("human-monitor-command", command_line=command)
    except MonitorError as error:
        raise errors.internal(str(error)) from error
    if answer.strip():
        raise errors.internal(f"port {port}: {answer.strip()}")
    running.forwards[protocol, port] = ("127.0.0.1", host_port)
    return "127.0.0.1", host_port
