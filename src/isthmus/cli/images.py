"""`isthmus image load|list|remove`: the images of this machine's home, without a registry."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from isthmus.cli.platform import data_dir
from isthmus.engine.node.image.errors import ImageError
from isthmus.engine.node.image.store import ImageStore
from isthmus.lib.home import Home

T = TypeVar("T")


def _run(home: Path, work: Callable[[ImageStore], Awaitable[T]]) -> T:
    async def opened() -> T:
        return await work(ImageStore(Home(home.absolute()).images))

    try:
        return asyncio.run(opened())
    except ImageError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def image() -> None:
    """Images for containers and containerDisks, loaded from archives."""


@image.command()
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", "names", multiple=True, help="The name to give it; by default what the archive says.")
@data_dir
def load(archive: Path, names: tuple[str, ...], data_dir: Path) -> None:
    """Load an OCI or docker ARCHIVE."""
    for loaded in _run(data_dir, lambda store: store.load(archive, list(names) or None)):
        click.echo(f"{loaded.name}  {loaded.digest}")


@image.command("list")
@data_dir
def list_(data_dir: Path) -> None:
    """List what is loaded or was pulled."""

    async def work(store: ImageStore) -> list[str]:
        return [f"{found.name}  {found.digest}" for found in store.list()]

    click.echo("\n".join(_run(data_dir, work)))


@image.command()
@click.argument("name")
@data_dir
def remove(name: str, data_dir: Path) -> None:
    """Remove an image by NAME. VMs that run from it run on."""

    async def work(store: ImageStore) -> int:
        if not await store.remove(name):
            raise click.ClickException(f"there is no image {name} here; `isthmus image list` shows them")
        return await store.collect()

    click.echo(f"{name} removed, {_run(data_dir, work) / 1e6:.1f} MB freed")
