"""How every command finds the platform: --context of a kubeconfig, $KUBECONFIG, else this machine's own home."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from isthmus.client import connect
from isthmus.client.kubeconfig import KubeconfigError
from isthmus.client.rest import RestClient
from isthmus.lib.home import Home, default_root
from isthmus.machinery.errors import StatusError

T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
USER_AGENT = "isthmus/0.1"


def options(command: Decorated) -> Decorated:
    """--kubeconfig, --context and --namespace."""
    for option in (
        click.option("-n", "--namespace", help="Default: the context's."),
        click.option("--context", default="", help="A context of the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False, exists=True)),
    ):
        command = option(command)
    return command


def find_kubeconfig(given: Path | None) -> Path | None:
    """The file to use: the one given, else $KUBECONFIG, else this machine's home if it has one."""
    if given or os.environ.get("KUBECONFIG"):
        return given
    local = Home(default_root()).kubeconfig
    return local if local.exists() else None


def run(
    work: Callable[[RestClient, str], Awaitable[T]], kubeconfig: Path | None, context: str, namespace: str | None
) -> T:
    """Run `work(client, namespace)`; what the server refuses becomes one message and exit code 2."""

    async def connected() -> T:
        client = connect.open_client(find_kubeconfig(kubeconfig), USER_AGENT, context)
        try:
            return await work(client, namespace or client.namespace)
        finally:
            await client.close()

    try:
        return asyncio.run(connected())
    except KubeconfigError as error:
        raise click.ClickException(f"{error}; is the platform up? (isthmus up)") from error
    except StatusError as error:
        raise click.ClickException(error.message) from error
