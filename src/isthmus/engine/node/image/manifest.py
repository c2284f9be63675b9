"""What an image is made of: OCI image manifests and indexes, and Docker's of schema 2. Pure.

Sources: OCI image-spec 1.1 (manifest.md, image-index.md), Docker "Image Manifest Version 2, Schema 2".
Everything read here may be hostile: shapes are checked, counts are bounded, ImageError is the only exception.
"""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.engine.node.image.errors import ImageError, invalid_image

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
MAX_LAYERS = 512
_INDEXES = (OCI_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a manifest names it; an index's entry has a `name` (tag) and a `platform` (os, architecture) too."""

    digest: str
    media_type: str = ""
    size: int = 0
    name: str = ""
    platform: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def parse_manifest(data: bytes) -> Manifest:
    """Read an image manifest. Raises ImageError for anything else."""
    raw = parse_object(data, "manifest")
    layers = raw.get("layers")
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise invalid_image(
            f"the manifest has no list of at most {MAX_LAYERS} layers (Docker schema 1 is not supported)"
        )
    return Manifest(_descriptor(raw.get("config")), tuple(map(_descriptor, layers)))


def parse_index(data: bytes) -> list[Descriptor]:
    """The entries of an OCI index (also `index.json` of a layout) or a Docker manifest list."""
    entries = parse_object(data, "index").get("manifests")
    if not isinstance(entries, list) or len(entries) > MAX_LAYERS:
        raise invalid_image(f"the index has no list of at most {MAX_LAYERS} manifests")
    return [_descriptor(entry) for entry in entries]


def is_index(descriptor: Descriptor, data: bytes) -> bool:
    """Whether a blob is a list of manifests; old writers leave the media type out."""
    return descriptor.media_type in _INDEXES or (not descriptor.media_type and b'"manifests"' in data)


def architecture() -> str:
    """This machine's, in OCI's (Go's) words."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def choose(entries: list[Descriptor], wanted: str) -> Descriptor:
    """The entry for linux on the architecture `wanted`; one without a platform serves all. Raises ImageError."""
    exact = [entry for entry in entries if entry.platform == ("linux", wanted)]
    anything = [entry for entry in entries if entry.platform == ("", "")]
    if found := [*exact, *anything]:
        return found[0]
    offered = ", ".join(sorted({"/".join(entry.platform) for entry in entries})) or "nothing"
    raise invalid_image(f"the image is not for linux/{wanted} (it offers {offered})")


def parse_object(data: bytes, what: str) -> Mapping[str, Any]:
    """A JSON object. Raises ImageError."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise invalid_image(f"the {what} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise invalid_image(f"the {what} is no JSON object")
    return raw


def parse_docker_archive(data: bytes) -> Iterator[tuple[list[str], str, list[str]]]:
    """`manifest.json` of `docker save`: for each image its tags, its configuration's and its layers' file names."""
    try:
        images = json.loads(data)
        for image in images:
            tags, config, layers = image.get("RepoTags") or [], image["Config"], image["Layers"]
            if not all(isinstance(text, str) for text in (config, *tags, *layers)) or len(layers) > MAX_LAYERS:
                raise invalid_image("manifest.json does not list files")
            yield list(tags), config, list(layers)
    except ImageError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise invalid_image(f"manifest.json is not what docker save writes: {error!r}") from error


def build_manifest(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """An OCI manifest of blobs that are here."""
    parts = [{"mediaType": d.media_type, "digest": d.digest, "size": d.size} for d in (config, *layers)]
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
    return json.dumps(body, separators=(",", ":")).encode()


def _descriptor(raw: Any) -> Descriptor:
    if not isinstance(raw, dict) or not isinstance(raw.get("digest"), str):
        raise invalid_image("a blob is listed without its digest")
    size, annotations, where = raw.get("size", 0), raw.get("annotations"), raw.get("platform")
    annotations = annotations if isinstance(annotations, dict) else {}
    where = where if isinstance(where, dict) else {}
    return Descriptor(
        digest=raw["digest"],
        media_type=str(raw.get("mediaType") or ""),
        size=size if isinstance(size, int) else 0,
        name=str(annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME) or ""),
        platform=(str(where.get("os") or ""), str(where.get("architecture") or "")),
    )
