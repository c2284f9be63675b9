"""The image store against a real registry (Debian's docker-registry) on loopback, with and without credentials."""

import asyncio
import contextlib
import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from isthmus.engine.node.image.store import ImageError, ImageStore

pytestmark = pytest.mark.e2e
MIB = 1024 * 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def registry(folder: Path, auth: str = ""):
    """A registry of its own; `auth` is the path of an htpasswd file."""
    port = free_port()
    folder.mkdir()
    config = {
        "version": 0.1, "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **({"auth": {"htpasswd": {"realm": "test", "path": auth}}} if auth else {}),
    }  # fmt: skip
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def push(source: ImageStore, image: str, target: str, *options: str) -> None:
    """Write an image of a local store into a registry."""
    known = source.find(image)
    layout = source.root / "layout"
    layout.mkdir(exist_ok=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "blobs").exists() or (layout / "blobs").symlink_to(source.blobs.root)
    size = source.blobs.path(known.digest).stat().st_size
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": known.digest, "size": size}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    argv = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *options, f"oci:{layout}", f"docker://{target}"]
    done = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.PIPE)
    _, err = await done.communicate()
    assert done.returncode == 0, err.decode()


@pytest.fixture
async def source(tmp_path):
    """A store with a containerDisk of 3 MiB, two thirds of it holes."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\x11" * MIB + bytes(2 * MIB))
    made = ImageStore(tmp_path / "source")
    await made.add("demo:1", {"/disk/disk.img": disk})
    return made


@pytest.mark.parametrize("form", ["oci", "v2s2"])
async def test_a_container_disk_comes_from_a_registry(source, tmp_path, form):
    with registry(tmp_path / "registry") as host:
        await push(source, "demo:1", f"{host}/team/demo:1", "--format", form)
        store = ImageStore(tmp_path / "images")
        images = await asyncio.gather(*(store.ensure(f"{host}/team/demo:1") for _ in range(4)))
        assert len({image.digest for image in images}) == 1
        files = await asyncio.gather(*(store.file(images[0], "/disk") for _ in range(4)))
        assert len(set(files)) == 1
        assert files[0].read_bytes() == (tmp_path / "disk.img").read_bytes()
        assert files[0].stat().st_blocks * 512 < 2 * MIB
        by_digest = await store.ensure(f"{host}/team/demo@{images[0].digest}")
        assert by_digest.digest == images[0].digest
        with pytest.raises(ImageError, match="manifest unknown") as error:
            await store.ensure(f"{host}/team/demo:missing")
        assert error.value.reason == "ErrImagePull"
    assert (await store.ensure(f"{host}/team/demo:1")).digest == images[0].digest
    with pytest.raises(ImageError, match="refused"):
        await store.ensure(f"{host}/team/demo:1", "Always")


async def test_always_takes_the_new_image_of_a_tag(source, tmp_path):
    (tmp_path / "disk.img").write_bytes(b"\x22" * MIB)
    await source.add("demo:2", {"/disk/disk.img": tmp_path / "disk.img"})
    with registry(tmp_path / "registry") as host:
        store = ImageStore(tmp_path / "images")
        digests = []
        for version in ("demo:1", "demo:2"):
            await push(source, version, f"{host}/demo:latest")
            digests.append((await store.ensure(f"{host}/demo", "Always")).digest)
        assert digests[0] != digests[1]
        assert await store.collect() > 0
        assert (await store.file(store.find(f"{host}/demo"), "/disk")).stat().st_size == MIB


async def test_a_private_registry_needs_the_pull_secret(source, tmp_path):
    hashed = subprocess.run(["htpasswd", "-Bbn", "ann", "secret"], capture_output=True, check=True).stdout
    (tmp_path / "htpasswd").write_bytes(hashed)
    with registry(tmp_path / "registry", str(tmp_path / "htpasswd")) as host:
        await push(source, "demo:1", f"{host}/demo:1", "--dest-creds", "ann:secret")
        store = ImageStore(tmp_path / "images")
        with pytest.raises(ImageError, match=r"authentication|unauthorized"):
            await store.ensure(f"{host}/demo:1")
        wrong, right = ({"auths": {host: {"auth": text}}} for text in ("YW5uOndyb25n", "YW5uOnNlY3JldA=="))
        with pytest.raises(ImageError):
            await store.ensure(f"{host}/demo:1", auth=wrong)
        assert (await store.ensure(f"{host}/demo:1", auth=right)).name == f"{host}/demo:1"
        assert not list((tmp_path / "images/scratch").iterdir())


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
async def test_what_skopeo_writes_as_an_archive_is_loaded_under_its_name(source, tmp_path, kind):
    with registry(tmp_path / "registry") as host:
        await push(source, "demo:1", f"{host}/demo:1")
        target = f"{kind}:{tmp_path}/demo.tar:docker.io/library/demo:1"
        argv = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{host}/demo:1", target]
        subprocess.run(argv, check=True)
    store = ImageStore(tmp_path / "images")
    [image] = await store.load(tmp_path / "demo.tar")
    assert image.name == "docker.io/library/demo:1"
    assert await store.ensure("demo:1", "Never") == image
    assert (await store.file(image, "/disk")).read_bytes() == (tmp_path / "disk.img").read_bytes()
