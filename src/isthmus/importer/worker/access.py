"""Where a source is and what it takes to read it, out of the worker's volumes: no secret is an argument or a variable.

`source` holds an uploaded file, `source-secret` user and password (CDI's keys), `source-certificates` PEM files that an
https server is trusted by.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from isthmus.importer.sources.errors import SourceError
from isthmus.importer.worker.target import find_image

VOLUME = "volume:"
SECRET, CERTIFICATES = "source-secret", "source-certificates"


def locate(source: str, volumes: Mapping[str, str]) -> str:
    """A path or URL that can be opened: `volume:NAME` is the file in (or block device of) a volume."""
    if not source.startswith(VOLUME):
        return source
    name = source.removeprefix(VOLUME)
    if name not in volumes:
        raise SourceError(f"volume {name!r} is not in ISTHMUS_VOLUMES", source=source)
    return str(find_image(Path(volumes[name])))


@contextmanager
def granted(volumes: Mapping[str, str]) -> Iterator[None]:
    """Within the block, URLs are read with the user and the certificates that the volumes hold. Raises SourceError."""
    if secret := volumes.get(SECRET):
        os.environ["ISTHMUS_SOURCE_USER"] = _read(Path(secret), "accessKeyId")
        os.environ["ISTHMUS_SOURCE_PASSWORD"] = _read(Path(secret), "secretKey")
    if not (certificates := volumes.get(CERTIFICATES)):
        yield
        return
    with tempfile.NamedTemporaryFile(suffix=".pem") as bundle:
        for path in sorted(Path(certificates).iterdir()):
            if path.is_file():
                bundle.write(path.read_bytes() + b"\n")
        bundle.flush()
        os.environ["SSL_CERT_FILE"] = bundle.name
        yield


def _read(secret: Path, key: str) -> str:
    try:
        return (secret / key).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the Secret has no key {key} that is text", source="secretRef") from error
