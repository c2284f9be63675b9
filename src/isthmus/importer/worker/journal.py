"""How far a transfer is, kept in the volume itself, so that one that was killed goes on in the middle of the disk.

A file beside the disk's image, replaced as a whole and only after the image was synced: what it says is written is on
the disk, whatever dies. Whoever empties the volume takes it away. It names what it was made from: with another source,
or one that was changed meanwhile, the transfer begins again. A block device has no room for it.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isthmus.importer.sources.digests import Midstate

NAME = ".isthmus-transfer"
EVERY = 5.0  # seconds between two entries
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a disk's file (or in one of its extents) before which everything is written.

    `begun` is the file's digest so far, `state` what its reader has to know to go on: see `pieces`.
    """

    state: dict[str, Any]
    extent: int = 0
    begun: Midstate | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal says: `mark` is None if the disk is complete. `digests` are of files read to their end."""

    capacity: int
    read: int  # bytes of the source
    written: int
    mark: Mark | None = None
    digests: dict[str, dict[str, str]] = field(default_factory=dict)


class Journal:
    """One disk's. `source` says from what it is written: an entry of another source does not count, nor any without."""

    def __init__(self, folder: Path | None, source: str) -> None:
        self._path = folder / NAME if folder else None
        self._source = source

    @property
    def kept(self) -> bool:
        """Whether there is an entry."""
        return self._path is not None and self._path.exists()

    def load(self) -> Entry | None:
        """The last entry; None if there is none that fits."""
        if self._path is None or not self._source:
            return None
        try:
            told = json.loads(self._path.read_bytes())
            return _read(told["entry"]) if (told["version"], told["source"]) == (_VERSION, self._source) else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def save(self, entry: Entry) -> None:
        """Replace the last entry. Raises OSError."""
        if self._path is None or not self._source:
            return
        draft = self._path.with_name(f"{NAME}.new")
        with draft.open("w") as file:
            json.dump({"version": _VERSION, "source": self._source, "entry": asdict(entry)}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._path)

    def remove(self) -> None:
        """Leave no trace."""
        if self._path is not None:
            for path in (self._path, self._path.with_name(f"{NAME}.new")):
                with contextlib.suppress(OSError):
                    path.unlink()


def _read(told: dict[str, Any]) -> Entry:
    mark = told["mark"]
    if mark is not None:
        begun = Midstate(*mark["begun"]) if mark["begun"] else None
        mark = Mark(dict(mark["state"]), int(mark["extent"]), begun)
    return Entry(int(told["capacity"]), int(told["read"]), int(told["written"]), mark, dict(told["digests"]))
