"""Which name means which image: one JSON file that several agents of a home may share.

Every change reads, alters and replaces the file under a lock; every look reads it again if another agent replaced it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.lib.locks import locked


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. `name` is canonical, `digest` its manifest's; `loaded` if it came from an archive."""

    name: str
    digest: str
    loaded: bool = False


class Index:
    """The names in `path`. Looks are cheap; changes are fsynced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._images: dict[str, Image] = {}

    def images(self) -> Mapping[str, Image]:
        """All images by canonical name, as they are now."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        version = status.st_ino, status.st_mtime_ns
        if version != self._seen:
            images = (Image(**raw) for raw in json.loads(self.path.read_bytes()))
            self._images = {image.name: image for image in images}
            self._seen = version
        return self._images

    def change(self, add: list[Image], remove: str = "") -> None:
        """Name the images `add`, forget the name `remove`."""
        with locked(self.path.with_suffix(".lock")):
            images = {**self.images(), **{image.name: image for image in add}}
            images.pop(remove, None)
            temporary = self.path.with_suffix(".new")
            with temporary.open("w") as file:
                json.dump([asdict(images[name]) for name in sorted(images)], file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
