"""Make an image of local files: one uncompressed layer, so that taking a file out again costs a copy. Blocking.

The result depends on the files' bytes and paths alone: the same files make the same digest.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from isthmus.engine.node.image import manifest
from isthmus.engine.node.image.blobs import Blobs, chunks_of
from isthmus.engine.node.image.errors import invalid_image
from isthmus.engine.node.image.manifest import Descriptor
from isthmus.engine.node.image.stream import clean_name

_END = bytes(2 * tarfile.BLOCKSIZE)


def build(blobs: Blobs, files: Mapping[str, Path]) -> str:
    """Add the image and give its manifest's digest. Raises ImageError if a file cannot be read."""
    try:
        digest, size = blobs.add(_tar(files))
    except OSError as error:
        raise invalid_image(f"{error.filename} cannot be read: {error.strerror}") from error
    config = json.dumps(
        {
            "architecture": manifest.architecture(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest]},
            "config": {},
        }
    ).encode()
    config_digest, _ = blobs.add([config])
    layer = Descriptor(digest, manifest.OCI_LAYER, size)
    body = manifest.build_manifest(Descriptor(config_digest, manifest.OCI_CONFIG, len(config)), [layer])
    blobs.add([body])
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _tar(files: Mapping[str, Path]) -> Iterator[bytes]:
    """A tar of `files` as a stream."""
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            member = tarfile.TarInfo(clean_name(name))
            member.size, member.mode = size, 0o444
            yield member.tobuf(tarfile.PAX_FORMAT)
            yield from chunks_of(file)
            yield bytes(-size % tarfile.BLOCKSIZE)
    yield _END
