"""`isthmus console`, `vnc`, `ssh`: the same WebSockets that virtctl uses."""

import asyncio
import concurrent.futures
import contextlib
import os
import shutil
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import click

from isthmus.cli import connection
from isthmus.client.api import WebSocket
from isthmus.client.rest import RestClient

ESCAPE = b"\x1d"  # ^]
SUBRESOURCES = "/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}/{sub}"
PROTOCOL = "plain.kubevirt.io"


async def open_stream(client: RestClient, namespace: str, name: str, sub: str) -> WebSocket:
    """Open a byte stream of a VMI. Raises StatusError with the reason why not."""
    return await client.websocket(SUBRESOURCES.format(namespace=namespace, name=name, sub=sub), [PROTOCOL])


@click.command()
@click.argument("vm")
@connection.options
def console(vm: str, kubeconfig: Path | None, context: str, namespace: str | None) -> None:
    """Connect to the serial console of VM. Leave with ^]."""

    async def work(client: RestClient, where: str) -> None:
        stream = await open_stream(client, where, vm, "console")
        click.echo(f"Connected to {vm} (press Enter for a prompt, ^] to leave)\r", err=True)
        with _raw_terminal():
            await _carry_terminal(stream)
        click.echo("\r", err=True)

    connection.run(work, kubeconfig, context, namespace)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys go to the guest as they are pressed; the terminal is put back whatever happens."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _carry_terminal(stream: WebSocket) -> None:
    """Between this terminal and the guest, until either ends."""
    tasks = [asyncio.create_task(_from_guest(stream)), asyncio.create_task(_from_terminal(stream))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await stream.close()


async def _from_guest(stream: WebSocket) -> None:
    async for message in stream:
        if isinstance(message, bytes):
            sys.stdout.buffer.write(message)
            sys.stdout.buffer.flush()


async def _from_terminal(stream: WebSocket) -> None:
    """Until ^]. At the end of a file or pipe the guest may still be talking: then wait for it."""
    typed = _read_terminal()
    while data := await typed.get():
        before, escape, _ = data.partition(ESCAPE)
        if before:
            await stream.send(before)
        if escape:
            return
    await asyncio.Event().wait()


def _read_terminal() -> "asyncio.Queue[bytes]":
    """What comes from standard input, and nothing at its end; read in a thread, so that it may be a file too.

    asyncio's own pipes would make the terminal non-blocking, for our output and the shell after us as well.
    """
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[bytes] = asyncio.Queue(4)

    def read() -> None:
        data = b"?"
        while data:
            try:
                data = os.read(sys.stdin.fileno(), 4096)
            except OSError:  # the terminal is gone
                data = b""
            try:
                asyncio.run_coroutine_threadsafe(typed.put(data), loop).result()
            except (RuntimeError, concurrent.futures.CancelledError):  # the session is over
                return

    threading.Thread(target=read, name="terminal", daemon=True).start()
    return typed


@click.command()
@click.argument("vm")
@click.option("--port", default=0, help="Local port for a viewer; 0 chooses a free one.")
@click.option("--proxy-only", is_flag=True, help="Start no viewer, only print the address.")
@connection.options
def vnc(vm: str, port: int, proxy_only: bool, kubeconfig: Path | None, context: str, namespace: str | None) -> None:
    """Show the screen of VM in a VNC viewer (remote-viewer, vncviewer), or serve it to one on loopback."""

    async def work(client: RestClient, where: str) -> None:
        stream = await open_stream(client, where, vm, "vnc")
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def viewer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _carry(stream, reader, writer)
            if not connected.done():
                connected.set_result(None)

        server = await asyncio.start_server(viewer, "127.0.0.1", port)
        address = server.sockets[0].getsockname()
        click.echo(f"VNC of {vm} on {address[0]}:{address[1]} until the viewer leaves")
        if not proxy_only:
            await _start_viewer(address[1])
        await connected
        server.close()
        await stream.close()

    connection.run(work, kubeconfig, context, namespace)


async def _start_viewer(port: int) -> None:
    for program, argument in (("remote-viewer", f"vnc://127.0.0.1:{port}"), ("vncviewer", f"127.0.0.1::{port}")):
        if shutil.which(program):
            from isthmus.lib import run

            run.start([program, argument], log=Path(os.devnull))
            return
    click.echo("no viewer found (remote-viewer, vncviewer): connect one to the address above", err=True)


async def _carry(stream: WebSocket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Between a local connection and the guest, until either ends."""

    async def out() -> None:
        async for message in stream:
            if isinstance(message, bytes):
                writer.write(message)
                await writer.drain()

    async def back() -> None:
        while data := await reader.read(65536):
            await stream.send(data)

    tasks = [asyncio.create_task(out()), asyncio.create_task(back())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    writer.close()


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("vm")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("-l", "--user", default="", help="The user in the guest; also USER@VM.")
@click.option("--stdio", is_flag=True, hidden=True, help="Be ssh's ProxyCommand.")
@connection.options
def ssh(
    vm: str,
    command: tuple[str, ...],
    user: str,
    stdio: bool,
    kubeconfig: Path | None,
    context: str,
    namespace: str | None,
) -> None:
    """Log in to VM by ssh through the API: no address of the VM need be reachable from here."""
    if stdio:
        connection.run(lambda client, where: _stdio(client, where, vm), kubeconfig, context, namespace)
        return
    if not shutil.which("ssh"):
        raise click.ClickException("ssh is not installed (apt-get install openssh-client)")
    name, _, host = vm.rpartition("@")
    own = [sys.executable, "-m", "isthmus.cli", "ssh", "--stdio", host]
    for flag, value in (("--kubeconfig", kubeconfig), ("--context", context), ("--namespace", namespace)):
        own += [flag, str(value)] if value else []
    proxy = " ".join(_quoted(a) for a in own)
    target = [f"{user or name}@{host}" if user or name else host]
    os.execvp("ssh", ["ssh", "-o", f"ProxyCommand={proxy}", "-o", f"HostKeyAlias=isthmus-{host}", *target, *command])  # noqa: S606  (becomes ssh; no shell)


def _quoted(argument: str) -> str:
    import shlex

    return shlex.quote(argument).replace("%", "%%")


async def _stdio(client: RestClient, namespace: str, name: str) -> None:
    stream = await open_stream(client, namespace, name, "portforward/22/tcp")
    await _carry_terminal(stream)
