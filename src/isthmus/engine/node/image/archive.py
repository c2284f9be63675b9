"""Take images from an archive: an OCI layout in a tar (or a directory), or what `docker save` and `podman save` write.

One pass: each file becomes a blob under the digest that it really has; then the archive's own lists say which of them
are images. Names from the archive never become paths here. Blocking; run it in a thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.engine.node.image import manifest as manifests
from isthmus.engine.node.image.blobs import Blobs, Readable, chunks_of
from isthmus.engine.node.image.errors import ImageError, invalid_image
from isthmus.engine.node.image.manifest import Descriptor
from isthmus.engine.node.image.stream import Limits, clean_name, decompressed, read_tar

_LINK_HOPS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """An image of the archive: the digest of its manifest and the names that the archive gives it."""

    digest: str
    names: tuple[str, ...]


def take(path: Path, blobs: Blobs, limits: Limits) -> list[Found]:
    """Add the archive's blobs and give its images. Raises ImageError naming the archive; then no image is named."""
    try:
        files = _ingest(path, blobs, limits)
        if "index.json" in files:
            found = _oci(files, blobs)
            return _with_docker_tags(found, files, blobs)
        if "manifest.json" in files:
            return _docker(files, blobs)
    except ImageError as error:
        raise ImageError(error.reason, f"{path.name}: {error}") from error
    except OSError as error:
        raise invalid_image(f"{path.name}: {error.strerror}") from error
    raise invalid_image(f"{path.name}: neither index.json (OCI) nor manifest.json (docker save) is in it")


@dataclass(frozen=True, slots=True)
class _File:
    digest: str
    size: int


def _ingest(path: Path, blobs: Blobs, limits: Limits) -> dict[str, _File]:
    """Every file of the archive as a blob, by its name; a file that is named by a digest must have it."""
    files: dict[str, _File] = {}
    links: dict[str, str] = {}
    for name, content in _members(path, limits):
        if isinstance(content, str):
            links[name] = content
            continue
        digest, size = blobs.add(chunks_of(content))
        if name.startswith("blobs/sha256/") and name != f"blobs/{digest.replace(':', '/')}":
            raise invalid_image(f"{name} has the digest {digest}")
        files[name] = _File(digest, size)
    for name in links:
        target = name
        for _ in range(_LINK_HOPS):
            target = links.get(target, target)
        if target in files:
            files[name] = files[target]
    return files


def _members(path: Path, limits: Limits) -> Iterator[tuple[str, Readable | str]]:
    """Names and contents; for a link (docker save writes a repeated layer so) the name that it points to."""
    if path.is_dir():
        yield from _directory(path)
        return
    with decompressed(path) as source:
        for member, content in read_tar(source, limits):
            name = clean_name(member.name)
            if not name:
                continue
            if member.issym():
                yield name, clean_name(_beside(name, member.linkname))
            elif member.islnk():
                yield name, clean_name(member.linkname)
            elif content is not None:
                yield name, content


def _directory(path: Path) -> Iterator[tuple[str, Readable]]:
    for entry in sorted(path.rglob("*")):
        if entry.is_file() and not entry.is_symlink():
            with entry.open("rb") as file:
                yield entry.relative_to(path).as_posix(), file


def _beside(name: str, target: str) -> str:
    """A relative link, with its `..` resolved inside the archive."""
    parts = name.split("/")[:-1] if not target.startswith("/") else []
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _oci(files: dict[str, _File], blobs: Blobs) -> list[Found]:
    """The images that index.json lists; an entry that is itself an index is resolved for this machine."""
    found: dict[str, list[str]] = {}
    for entry in manifests.parse_index(blobs.read_json(files["index.json"].digest)):
        digest = resolve(entry, blobs)
        _check_complete(digest, blobs)
        found.setdefault(digest, [])
        if entry.name:
            found[digest].append(entry.name)
    return [Found(digest, tuple(names)) for digest, names in found.items()]


def resolve(entry: Descriptor, blobs: Blobs) -> str:
    """The digest of the manifest that `entry` means on this machine."""
    for _ in range(4):
        data = blobs.read_json(entry.digest)
        if not manifests.is_index(entry, data):
            return entry.digest
        entry = manifests.choose(manifests.parse_index(data), manifests.architecture())
    raise invalid_image("its indexes are nested too deeply")


def _check_complete(digest: str, blobs: Blobs) -> None:
    image = manifests.parse_manifest(blobs.read_json(digest))
    for part in (image.config, *image.layers):
        if not blobs.path(part.digest).exists():
            raise invalid_image(f"it lacks the blob {part.digest}")


def _docker(files: dict[str, _File], blobs: Blobs) -> list[Found]:
    """An OCI manifest is written for each image, since docker save has none."""
    found = []
    for tags, config, layers in manifests.parse_docker_archive(blobs.read_json(files["manifest.json"].digest)):
        missing = [name for name in (config, *layers) if clean_name(name) not in files]
        if missing:
            raise invalid_image(f"it lacks the file {missing[0]!r}")
        parts = [files[clean_name(name)] for name in (config, *layers)]
        kinds = [manifests.OCI_CONFIG, *([manifests.OCI_LAYER] * len(layers))]
        first, *rest = [Descriptor(p.digest, kind, p.size) for p, kind in zip(parts, kinds, strict=True)]
        digest, _ = blobs.add([manifests.build_manifest(first, rest)])
        found.append(Found(digest, tuple(tags)))
    return found


def _with_docker_tags(found: list[Found], files: dict[str, _File], blobs: Blobs) -> list[Found]:
    """docker save since 25 writes both lists; the full names are in manifest.json, by configuration."""
    if "manifest.json" not in files:
        return found
    tags: dict[str, list[str]] = {}
    for names, config, _ in manifests.parse_docker_archive(blobs.read_json(files["manifest.json"].digest)):
        if clean_name(config) in files:
            tags.setdefault(files[clean_name(config)].digest, []).extend(names)
    by_config = {f.digest: manifests.parse_manifest(blobs.read_json(f.digest)).config.digest for f in found}
    return [Found(f.digest, tuple(tags.get(by_config[f.digest], f.names))) for f in found]
