"""A disk image out of a container image: `docker://` of CDI's registry source, the layout of a containerDisk."""

from collections.abc import Mapping
from pathlib import Path

from isthmus.engine.node.datavolume.clone import copy
from isthmus.engine.node.datavolume.errors import TransferError
from isthmus.engine.node.disk import files, ingest, probe
from isthmus.engine.node.disk.volumes import CONTAINER_DISK_PATH, pull_auth
from isthmus.engine.node.image.store import ImageStore

SCHEME = "docker://"


async def fill(images: Path, url: str, credentials: Mapping[str, bytes], volume: Path, capacity: int) -> None:
    """Fill a volume. Raises TransferError, ImageError, ImageRefusedError, CommandError."""
    if not url.startswith(SCHEME):
        raise TransferError(f"{url}: the URL must begin with {SCHEME}")
    name = url.removeprefix(SCHEME)
    store = ImageStore(images)
    image = await store.ensure(name, "", pull_auth(name, credentials) if credentials else None)
    disk = await store.file(image, CONTAINER_DISK_PATH)
    with disk.open("rb") as file:
        kind = probe.find_any_format(file.read(ingest.HEAD), name)
    part = ingest.part_of(volume)
    if kind != "raw":
        await ingest.convert(disk, kind, part, capacity)
    elif disk.stat().st_size > capacity:
        raise ingest.TooLargeError(f"{name}: its disk has {disk.stat().st_size} bytes, the volume {capacity}")
    else:
        copy(disk, part, lambda _: None)
    files.ensure_raw(part, capacity)
    ingest.sync(part)
    part.replace(volume / files.DISK_NAME)
