"""Images made by hand, layer by layer, so that tests say what is in them."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from isthmus.engine.node.image.store import ImageStore


def entry(name: str, data: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    """A tar member; `fields` are TarInfo's (type, linkname, size ...)."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    """A symbolic (or hard) link."""
    return entry(name, type=kind, linkname=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in entries:
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def digest(data: bytes) -> str:
    """sha256:…"""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def oci(*layers: bytes, name: str = "docker.io/library/demo:1", compress=gzip.compress) -> dict[str, bytes]:
    """The files of an OCI layout with one image of `layers`, the lowest first."""
    packed = [compress(layer) for layer in layers]
    config = json.dumps(
        {"rootfs": {"diff_ids": [digest(layer) for layer in layers]}, "config": {"Cmd": ["x"]}}
    ).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": digest(config), "size": len(config)},
        "layers": [{"digest": digest(layer), "size": len(layer)} for layer in packed],
    }).encode()  # fmt: skip
    annotations = {"org.opencontainers.image.ref.name": name} if name else {}
    index = json.dumps({"manifests": [{"digest": digest(manifest), "annotations": annotations}]}).encode()
    blobs = {f"blobs/sha256/{digest(blob)[7:]}": blob for blob in (config, manifest, *packed)}
    return {"oci-layout": b"{}", "index.json": index, **blobs}


def archive(path: Path, files: dict[str, bytes], prefix: str = "") -> Path:
    """The files as a tar at `path`."""
    path.write_bytes(tar(*(entry(prefix + name, data) for name, data in files.items())))
    return path


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return ImageStore(tmp_path / "images")
