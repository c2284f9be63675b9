"""The node's images: `ensure` one is here, `load` an archive, get a `file` out of an image, `collect` what is unused.

Called by the agent for containerDisks, kernelBoot and containers. Bytes come from a registry through skopeo, or from
archives; both end as blobs by digest. `images.json` says which name means which manifest.

    <root>/images.json   <root>/blobs/sha256/<hex>   <root>/files/<manifest hex>/<path's digest>   <root>/scratch/
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from isthmus.engine.node.image import archive, layers, manifest, pull, reference
from isthmus.engine.node.image.blobs import Blobs
from isthmus.engine.node.image.build import build
from isthmus.engine.node.image.errors import ImageError, invalid_image, invalid_name, never_pull
from isthmus.engine.node.image.index import Image, Index
from isthmus.engine.node.image.manifest import Manifest
from isthmus.engine.node.image.stream import Limits
from isthmus.lib import run as processes
from isthmus.lib.locks import locked

__all__ = ["Image", "ImageError", "ImageStore"]

K = TypeVar("K")
T = TypeVar("T")
Runner = Callable[..., Awaitable[processes.Completed]]


class ImageStore:
    """The images below `root`, which several agents may share; calls may overlap.

    Work on blobs that no name refers to yet holds a shared lock, `collect` an exclusive one.
    """

    def __init__(self, root: Path, run: Runner = processes.run, limits: Limits | None = None) -> None:
        self.root = root
        self.limits = limits or Limits()
        self.blobs = Blobs(root / "blobs", root / "scratch")
        self._run = run
        self._index = Index(root / "images.json")
        self._extractions: dict[Path, asyncio.Task[Path]] = {}
        self._pulls: dict[str, asyncio.Task[Image]] = {}

    # --- getting images -----------------------------------------------------------------------------------------------

    async def ensure(
        self, image: str, pull_policy: str = "IfNotPresent", auth: Mapping[str, Any] | None = None
    ) -> Image:
        """Have `image` here, fetched if the policy says so (Always, IfNotPresent, Never; "" is Kubernetes' default).

        `auth` is a parsed `.dockerconfigjson`. An image loaded from an archive also serves `Always` when its registry
        cannot be reached: it was put here on purpose. Raises ImageError.
        """
        wanted = reference.parse(image)
        policy = pull_policy or reference.default_pull_policy(image)
        local = self.find(image)
        if local and policy != "Always":
            return local
        if policy == "Never":
            raise never_pull(f"{wanted.name} is not on this node, and its pull policy is Never")
        try:
            return await self._pull_once(wanted, auth)
        except ImageError:
            if local and local.loaded:
                return local
            raise

    def find(self, image: str) -> Image | None:
        """The image of that name or digest, if it is here. Raises ImageError InvalidImageName."""
        wanted = reference.parse(image)
        images = self._index.images()
        if (known := images.get(wanted.name)) is not None:
            return known
        if wanted.digest:
            repository = f"{wanted.repository}:"
            same = (i for i in images.values() if i.digest == wanted.digest and i.name.startswith(repository))
            return next(same, None)
        return None

    async def load(self, path: Path, names: Sequence[str] | None = None) -> list[Image]:
        """Take the images of an archive (OCI layout or docker save; tar, compressed or not, or a directory).

        `names` are used instead of those in the archive, which must then hold one image. Raises ImageError.
        """
        chosen = [reference.parse(name).name for name in names or ()]
        async with self._working():
            found = await asyncio.to_thread(archive.take, path, self.blobs, self.limits)
            images = _named(found, chosen, path)
            await asyncio.to_thread(self._name, images)
        return images

    async def add(self, image: str, files: Mapping[str, Path]) -> Image:
        """Make an image of local files (path in the image -> file), e.g. the appliance's kernel and initrd."""
        name = reference.parse(image).name
        async with self._working():
            made = Image(name, await asyncio.to_thread(build, self.blobs, files), loaded=True)
            await asyncio.to_thread(self._name, [made])
        return made

    def _name(self, images: Sequence[Image]) -> None:
        """Once their bytes are on the disk: after a power cut a name must not stand for what is damaged."""
        for digest in {image.digest for image in images}:
            with contextlib.suppress(ImageError, OSError):  # whoever wants a file of it is told what is missing
                parts = manifest.parse_manifest(self.blobs.read_json(digest))
                for blob in (digest, parts.config.digest, *(layer.digest for layer in parts.layers)):
                    self.blobs.sync(blob)
        self._index.change(list(images))

    async def _pull_once(self, wanted: reference.Reference, auth: Mapping[str, Any] | None) -> Image:
        """One pull for all who ask at the same time with the same rights."""
        key = json.dumps([wanted.name, auth], sort_keys=True)
        task = self._pulls.get(key)
        if task is None:
            task = self._pulls[key] = asyncio.create_task(self._pull(wanted, auth))
            task.add_done_callback(lambda done: _forget(self._pulls, key, done))
        return await asyncio.shield(task)

    async def _pull(self, wanted: reference.Reference, auth: Mapping[str, Any] | None) -> Image:
        async with self._working():
            image = Image(wanted.name, await pull.pull(wanted, self.blobs, auth, self._run))
            await asyncio.to_thread(self._name, [image])
        return image

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        lock = locked(self.root / "work.lock", fcntl.LOCK_SH)
        await asyncio.to_thread(lock.__enter__)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    # --- reading images -----------------------------------------------------------------------------------------------

    def list(self) -> list[Image]:
        """All images, by name."""
        return sorted(self._index.images().values(), key=lambda image: image.name)

    def manifest(self, image: Image) -> Manifest:
        """What the image is made of. Raises ImageError."""
        return manifest.parse_manifest(self.blobs.read_json(image.digest))

    def config(self, image: Image) -> Mapping[str, Any]:
        """The OCI configuration (command, environment, user ...). Raises ImageError."""
        digest = self.manifest(image).config.digest
        return manifest.parse_object(self.blobs.read_json(digest), "image configuration")

    async def file(self, image: Image, path: str) -> Path:
        """A file of the image, as a read-only file here: extracted once, whoever asks. Raises ImageError.

        `/disk` (or `/disk/*`) is the one file in that directory; `/boot/vmlinuz` is that file.
        """
        target = self._file_path(image, path)
        if target.exists():
            return target
        task = self._extractions.get(target)
        if task is None:
            task = self._extractions[target] = asyncio.create_task(self._extract(image, path, target))
            task.add_done_callback(lambda done: _forget(self._extractions, target, done))
        try:
            return await asyncio.shield(task)
        except ImageError as error:
            raise ImageError(error.reason, f"{image.name}: {error}") from error

    def _file_path(self, image: Image, path: str) -> Path:
        """No name out of an image becomes one here."""
        key = hashlib.sha256(path.removesuffix("/*").strip("/").encode()).hexdigest()[:32]
        return self.root / "files" / image.digest.rpartition(":")[2] / key

    async def _extract(self, image: Image, path: str, target: Path) -> Path:
        parts = self.manifest(image)
        async with self._working():
            try:
                temporary = await asyncio.to_thread(layers.extract, parts, path, self.blobs, self.limits)
                temporary.chmod(0o444)
                target.parent.mkdir(parents=True, exist_ok=True)
                return temporary.replace(target)
            except OSError as error:
                raise invalid_image(f"{path} cannot be written: {error.strerror}") from error

    # --- forgetting images --------------------------------------------------------------------------------------------

    async def remove(self, image: str) -> bool:
        """Forget a name; its bytes go with the next `collect` that finds them unused. Whether there was one."""
        known = self.find(image)
        if known is None:
            return False
        await asyncio.to_thread(self._index.change, [], known.name)
        return True

    async def collect(self) -> int:
        """Remove the bytes of images that have no name; gives how many were freed.

        Machines hold links of their own to the files that they run from. Does nothing while images are being fetched,
        loaded or extracted.
        """
        return await asyncio.to_thread(self._sweep_alone)

    def _sweep_alone(self) -> int:
        if not self.root.is_dir():
            return 0
        try:
            with locked(self.root / "work.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                return self._sweep({image.digest for image in self._index.images().values()})
        except BlockingIOError:
            return 0

    def _sweep(self, manifests: set[str]) -> int:
        needed = set(manifests)
        for digest in manifests:
            try:
                parts = manifest.parse_manifest(self.blobs.read_json(digest))
            except ImageError:
                continue
            needed |= {parts.config.digest, *(layer.digest for layer in parts.layers)}
        freed = sum(self.blobs.remove(digest) for digest in list(self.blobs.digests()) if digest not in needed)
        for folder in (self.root / "files").glob("*"):
            if f"sha256:{folder.name}" not in manifests:
                freed += sum(file.stat().st_blocks * 512 for file in folder.iterdir())
                shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.root / "scratch", ignore_errors=True)
        return freed


def _forget(tasks: dict[K, asyncio.Task[T]], key: K, done: asyncio.Task[T]) -> None:
    """Whoever asked may have gone meanwhile: then nobody retrieves the error, and nobody misses it."""
    tasks.pop(key, None)
    if not done.cancelled():
        done.exception()


def _named(found: Sequence[archive.Found], chosen: Sequence[str], path: Path) -> list[Image]:
    """Images under canonical names. Raises ImageError if one has no name, or a name cannot be told to belong to one."""
    if chosen and len(found) != 1:
        raise invalid_image(f"{path.name} holds {len(found)} images: a name can be given to one only")
    images = [Image(name, f.digest, loaded=True) for f in found for name in (chosen or _names_in(f, path))]
    if not images:
        raise invalid_name(f"{path.name} gives its image no name: say under which name to keep it")
    return images


def _names_in(found: archive.Found, path: Path) -> list[str]:
    """An OCI layout may name an image by its tag alone (`latest`): the archive's name then stands for the image's."""
    stem = path.name.split(".", 1)[0].lower()
    texts = [name if "/" in name or ":" in name else f"{stem}:{name}" for name in found.names]
    return [reference.parse(text).name for text in texts]
