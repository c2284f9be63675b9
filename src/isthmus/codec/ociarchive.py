"""OCI image archives (`oci-archive:` in skopeo's words): one image with one layer, written without a container engine.

Used for the conversion appliance and for containerDisks. The layer's digest must stand in the manifest before the layer
itself, so it is made in a scratch file first. Format: OCI image-spec 1.0, image-layout.md, manifest.md, config.md.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

_MEDIA = "application/vnd.oci.image"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the layer: `size` bytes are read from `data`. The owner is a number, as an image has no names."""

    name: str
    data: IO[bytes]
    size: int
    mode: int = 0o444
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """What surrounds the layer: the reference it is found by, its labels and the command a container would run."""

    reference: str
    labels: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"


def write(out: IO[bytes], image: Image, members: Iterable[Member], scratch: IO[bytes]) -> str:
    """Write the archive to `out` and return the manifest's digest (`sha256:...`).

    `scratch` is an empty file opened for reading and writing that holds the compressed layer for the time being.
    """
    uncompressed = _write_layer(scratch, members)
    size = scratch.tell()
    layer = _descriptor(f"{_MEDIA}.layer.v1.tar+gzip", _digest(scratch), size)
    config = _json(
        {
            "architecture": image.architecture,
            "os": "linux",
            "config": {"Labels": dict(image.labels)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{uncompressed}"]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _describe(f"{_MEDIA}.config.v1+json", config),
            "layers": [layer],
        }
    )
    named = _describe(f"{_MEDIA}.manifest.v1+json", manifest)
    named["annotations"] = {"org.opencontainers.image.ref.name": image.reference}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json({"schemaVersion": 2, "manifests": [named]}))
        for blob in (config, manifest):
            _add(archive, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        scratch.seek(0)
        digest = str(layer["digest"]).removeprefix("sha256:")
        archive.addfile(_info(f"blobs/sha256/{digest}", size), scratch)
    return str(named["digest"])


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(_CHUNK):
        digest.update(data)
    return digest.hexdigest()


def _write_layer(scratch: IO[bytes], members: Iterable[Member]) -> str:
    """Compress the members as a tar into `scratch`; the digest of the tar itself."""
    with gzip.GzipFile(fileobj=scratch, mode="wb", compresslevel=1, mtime=0, filename="") as packed:
        hashed = _Hashing(packed)
        with tarfile.open(fileobj=hashed, mode="w|", bufsize=_CHUNK, format=tarfile.PAX_FORMAT) as layer:  # type: ignore[call-overload]
            made: set[str] = set()
            for member in members:
                _add_parents(layer, member.name, made)
                info = _info(member.name, member.size)
                info.mode, info.uid, info.gid = member.mode, member.owner, member.owner
                layer.addfile(info, member.data)
    return hashed.digest.hexdigest()


def _add_parents(layer: tarfile.TarFile, name: str, made: set[str]) -> None:
    parts = name.split("/")
    for parent in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
        if parent not in made:
            made.add(parent)
            info = tarfile.TarInfo(parent)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(info)


class _Hashing:
    """A file that hashes what passes through it."""

    def __init__(self, below: gzip.GzipFile) -> None:
        self.below = below
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.below.write(data)


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_info(name, len(data)), io.BytesIO(data))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _describe(media_type: str, data: bytes) -> dict[str, Any]:
    return _descriptor(media_type, hashlib.sha256(data).hexdigest(), len(data))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}
