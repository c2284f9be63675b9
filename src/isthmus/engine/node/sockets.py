"""Unix sockets below long directories: the kernel takes 107 bytes of path, a data directory may be deeper."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 107


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` that fits into a socket address, valid inside the block. Raises OSError.

    A long one goes through a descriptor of its directory in /proc.
    """
    if len(os.fsencode(path)) <= LIMIT:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
