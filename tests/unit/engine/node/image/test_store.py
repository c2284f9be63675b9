"""The store: names, archives of every kind, one file out of many layers, and what hostile archives get."""

import asyncio
import bz2
import gzip
import importlib.util
import json
import lzma
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.engine.node.disk import files
from isthmus.engine.node.image.store import ImageError, ImageStore
from isthmus.engine.node.image.stream import Limits

_spec = importlib.util.spec_from_file_location("image_conftest", Path(__file__).with_name("conftest.py"))
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)
entry, link, tar, oci, archive, digest = made.entry, made.link, made.tar, made.oci, made.archive, made.digest
DISK = b"\x11" * 70000 + bytes(3 * 1024 * 1024) + b"\x22" * 10


async def load(store, tmp_path, *layers, **options):
    [image] = await store.load(archive(tmp_path / "demo.tar", oci(*layers, **options)))
    return image


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"]
)
async def test_an_oci_archive_and_its_layers_may_be_compressed_in_any_way(store, tmp_path, compress):
    path = archive(tmp_path / "demo.tar", oci(tar(entry("disk/d.qcow2", DISK)), compress=compress), prefix="./")
    path.write_bytes(compress(path.read_bytes()))
    [image] = await store.load(path)
    assert image.name == "docker.io/library/demo:1"
    found = await store.file(image, "/disk")
    assert found.read_bytes() == DISK
    assert found.stat().st_blocks * 512 < 1024 * 1024
    assert store.config(image)["config"]["Cmd"] == ["x"]


async def test_layers_packed_with_zstd_are_read_by_the_program(store, tmp_path):
    import subprocess

    def zstd(data):
        return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout

    image = await load(store, tmp_path, tar(entry("disk/d", DISK)), compress=zstd)
    assert (await store.file(image, "/disk")).read_bytes() == DISK


async def test_a_directory_is_an_archive_too(store, tmp_path):
    for name, data in oci(tar(entry("disk/d", b"x"))).items():
        path = tmp_path / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert [image.name for image in await store.load(tmp_path / "layout")] == ["docker.io/library/demo:1"]


async def test_a_docker_archive_gives_its_images_under_their_tags(store, tmp_path):
    layer, config = tar(entry("disk/d", b"x")), b'{"config": {"Cmd": ["y"]}}'
    manifest = [
        {"Config": "c.json", "RepoTags": ["web:1", "quay.io/team/web:2"], "Layers": ["a/layer.tar", "b/layer.tar"]},
    ]
    files = [
        entry("c.json", config),
        entry("a/layer.tar", layer),
        link("b/layer.tar", "../a/layer.tar"),
        entry("manifest.json", json.dumps(manifest).encode()),
    ]
    (tmp_path / "web.tar").write_bytes(tar(*files))
    images = await store.load(tmp_path / "web.tar")
    assert [image.name for image in images] == ["docker.io/library/web:1", "quay.io/team/web:2"]
    assert (await store.file(images[0], "/disk/*")).read_bytes() == b"x"
    assert len(store.manifest(images[0]).layers) == 2


async def test_an_image_without_a_name_needs_one_and_one_with_a_bare_tag_takes_the_archives(store, tmp_path):
    files = oci(tar(entry("disk/d", b"x")), name="")
    with pytest.raises(ImageError, match="say under which name"):
        await store.load(archive(tmp_path / "demo.tar", files))
    [image] = await store.load(tmp_path / "demo.tar", ["mine:7"])
    assert image.name == "docker.io/library/mine:7"
    [image] = await store.load(archive(tmp_path / "fedora.tar", oci(tar(entry("disk/d", b"x")), name="41")))
    assert image.name == "docker.io/library/fedora:41"


async def test_of_several_platforms_this_machines_is_taken(store, tmp_path):
    from isthmus.engine.node.image import manifest

    here = oci(tar(entry("disk/d", b"here")))
    there = oci(tar(entry("disk/d", b"there")))
    of = {
        name: json.loads(files["index.json"])["manifests"][0]["digest"] for name, files in (("h", here), ("t", there))
    }
    inner = json.dumps({"manifests": [
        {"digest": of["t"], "platform": {"os": "linux", "architecture": "other"}},
        {"digest": of["h"], "platform": {"os": "linux", "architecture": manifest.architecture()}},
    ]}).encode()  # fmt: skip
    outer = json.dumps({"manifests": [{
        "digest": digest(inner), "mediaType": manifest.OCI_INDEX,
        "annotations": {"io.containerd.image.name": "quay.io/x/multi:1"}}]}).encode()  # fmt: skip
    files = {**here, **there, f"blobs/sha256/{digest(inner)[7:]}": inner, "index.json": outer}
    [image] = await store.load(archive(tmp_path / "multi.tar", files))
    assert image.name == "quay.io/x/multi:1"
    assert (await store.file(image, "/disk")).read_bytes() == b"here"


# --- one file of an image ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "path", "content"),
    [
        ([[("boot/vmlinuz", b"old")], [("boot/vmlinuz", b"new")]], "/boot/vmlinuz", b"new"),
        ([[("disk/a", b"a"), ("disk/b", b"b")], [("disk/.wh.a", b"")]], "/disk", b"b"),
        ([[("disk/a", b"a")], [("disk/.wh..wh..opq", b""), ("disk/b", b"b")]], "/disk", b"b"),
        ([[("disk/a", b"a")], [(".wh.disk", b"")], [("disk/c", b"c")]], "/disk", b"c"),
        ([[("disk/a", b"a"), ("disk/deep/x", b"x")]], "/disk/*", b"a"),
        ([[("diskette/a", b"a"), ("disk/b", b"b")]], "/disk/", b"b"),
        ([[("/disk/a", b"a")]], "disk", b"a"),
    ],
    ids=["upper", "whiteout", "opaque", "hidden-directory", "children-only", "prefix", "absolute"],
)
async def test_the_upper_layer_decides(store, tmp_path, layers, path, content):
    image = await load(store, tmp_path, *(tar(*(entry(*item) for item in layer)) for layer in layers))
    assert (await store.file(image, path)).read_bytes() == content


async def test_links_are_followed_inside_the_image(store, tmp_path):
    layer = tar(
        link("boot", "usr/boot"),
        link("usr/boot/vmlinuz", "../lib/./vmlinuz-6.1"),
        entry("usr/lib/real", b"kernel"),
        link("usr/lib/vmlinuz-6.1", "usr/lib/real", tarfile.LNKTYPE),
        link("disk/only", "/../../usr/lib/real"),
    )
    image = await load(store, tmp_path, layer)
    assert (await store.file(image, "/boot/vmlinuz")).read_bytes() == b"kernel"
    assert (await store.file(image, "/disk")).read_bytes() == b"kernel"


@pytest.mark.parametrize(
    ("items", "path", "message"),
    [
        ([entry("disk/a", b""), entry("disk/b", b"")], "/disk", r"2 files under /disk \(/disk/a, /disk/b\)"),
        ([entry("other", b"")], "/disk", "no file /disk"),
        ([entry("disk", b"x")], "/disk/inner", "no file /disk/inner"),
        ([link("disk", "disk")], "/disk", "more than 16 links"),
        ([link("a", "b"), link("b", "a")], "/a", "more than 16 links"),
        ([entry("disk/../../etc/passwd", b"x")], "/etc/passwd", "no file /etc/passwd"),
        ([link("disk/x", "/etc/passwd")], "/disk", "no file /disk"),
        ([entry("x", b""), entry("y", b"")], "/", "2 files under /"),
    ],
)
async def test_what_is_not_in_the_image_is_said(store, tmp_path, items, path, message):
    image = await load(store, tmp_path, tar(*items))
    with pytest.raises(ImageError, match=message):
        await store.file(image, path)
    assert not list((store.root / "scratch").iterdir())


async def test_many_who_ask_wait_for_one_extraction(store, tmp_path, monkeypatch):
    from isthmus.engine.node.image import layers

    calls, real = [], layers.extract
    monkeypatch.setattr(layers, "extract", lambda *args: calls.append(args) or real(*args))
    image = await load(store, tmp_path, tar(entry("disk/d", DISK)))
    found = await asyncio.gather(*(store.file(image, path) for path in ("/disk", "/disk/*", "disk/") * 5))
    assert len(set(found)) == len(calls) == 1
    assert await store.file(image, "/disk") == found[0]
    assert len(calls) == 1


async def test_a_damaged_layer_is_noticed(store, tmp_path):
    image = await load(store, tmp_path, tar(entry("disk/d", DISK)), compress=bytes)
    path = store.blobs.path(store.manifest(image).layers[0].digest)
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match="is damaged on disk"):
        await store.file(image, "/disk")
    assert not list((store.root / "scratch").iterdir())


# --- hostile archives -------------------------------------------------------------------------------------------------


async def test_a_blob_under_a_wrong_digest_is_refused(store, tmp_path):
    files = oci(tar(entry("disk/d", b"x")))
    files[f"blobs/sha256/{'0' * 64}"] = b"not that"
    with pytest.raises(ImageError, match=f"blobs/sha256/{'0' * 64} has the digest"):
        await store.load(archive(tmp_path / "demo.tar", files))


async def test_names_that_climb_out_are_nothing(store, tmp_path):
    evil = tar(entry("../../../../escaped", b"x"), entry("/escaped", b"x"), link("index.json", "/etc/passwd"))
    (tmp_path / "evil.tar").write_bytes(evil)
    with pytest.raises(ImageError, match=r"evil.tar: neither index.json"):
        await store.load(tmp_path / "evil.tar")
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no list"),
        (b'{"manifests": [{"digest": "sha256:../../x"}]}', "no sha256 digest"),
        (b'{"manifests": [{"digest": 5}]}', "without its digest"),
        (b"[" * 100000, "not JSON"),
        (json.dumps({"manifests": [{"digest": digest(b"absent")}]}).encode(), "cannot be read"),
        (b" " * (5 * 1024 * 1024), "too large for a manifest"),
    ],
    ids=range(8),
)
async def test_a_senseless_index_is_refused(store, tmp_path, index, message):
    with pytest.raises(ImageError, match=message):
        await store.load(archive(tmp_path / "demo.tar", {"index.json": index}))
    assert store.list() == []


async def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path):
    store = ImageStore(tmp_path / "images", limits=Limits(total=1024 * 1024, members=50))
    bomb = archive(tmp_path / "bomb.tar", oci(tar(entry("disk/d", bytes(2 * 1024 * 1024)))))
    [image] = await store.load(bomb)  # the layer is small as long as it is packed
    with pytest.raises(ImageError, match="claims 2097152 bytes"):
        await store.file(image, "/disk")
    bomb.write_bytes(gzip.compress(tar(*(entry(f"f{n}", bytes(100_000)) for n in range(20)))))
    with pytest.raises(ImageError, match="unpacks to more than 1048576 bytes"):
        await store.load(bomb)
    bomb.write_bytes(tar(*(entry(f"f{n}") for n in range(51))))
    with pytest.raises(ImageError, match="more than 50 entries"):
        await store.load(bomb)
    assert await store.collect() >= 0
    assert not (store.root / "scratch").exists()


async def test_an_extended_header_of_absurd_size_is_not_read_into_memory(store, tmp_path):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 4 * 1024**3
    (tmp_path / "demo.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ImageError, match="a tar header of 4294967296 bytes"):
        await store.load(tmp_path / "demo.tar")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress]),
    st.lists(st.tuples(st.integers(0, 20000), st.integers(0, 255)), max_size=6),
    st.integers(0, 20000),
)
def test_any_damage_to_an_archive_ends_in_the_one_error_or_in_a_sound_image(tmp_path, compress, changes, cut):
    path = archive(tmp_path / "demo.tar", oci(tar(entry("disk/d", b"x" * 3000))))
    data = bytearray(compress(path.read_bytes()))
    for at, value in changes:
        data[at % len(data)] = value
    path.write_bytes(data[: max(cut, 500)])
    store = ImageStore(tmp_path / "images")

    async def use():
        for image in await store.load(tmp_path / "demo.tar"):
            await store.file(image, "/disk")

    try:
        asyncio.run(use())
    except ImageError:
        return


# --- names and garbage ------------------------------------------------------------------------------------------------


async def test_policies_are_kept_without_a_registry(store, tmp_path):
    with pytest.raises(ImageError) as error:
        await store.ensure("demo:1", "Never")
    assert error.value.reason == "ErrImageNeverPull"
    image = await load(store, tmp_path, tar(entry("disk/d", b"x")))
    assert await store.ensure("docker.io/library/demo:1", "Never") == image
    assert await store.ensure("demo:1", "IfNotPresent") == image
    with pytest.raises(ImageError) as error:
        await store.ensure("Demo Image", "Never")
    assert error.value.reason == "InvalidImageName"


async def test_an_image_is_found_by_its_digest(store, tmp_path):
    image = await load(store, tmp_path, tar(entry("disk/d", b"x")))
    assert store.find(f"demo@{image.digest}") == image
    assert store.find(f"other@{image.digest}") is None


async def test_names_are_seen_by_every_agent_of_the_home(store, tmp_path):
    other = ImageStore(store.root)
    image = await load(store, tmp_path, tar(entry("disk/d", b"x")))
    assert other.list() == [image]
    await other.add("mine:1", {"/boot/vmlinuz": tmp_path / "demo.tar"})
    assert [i.name for i in store.list()] == ["docker.io/library/demo:1", "docker.io/library/mine:1"]
    assert await other.remove("demo:1")
    assert not await store.remove("demo:1")


async def test_what_no_name_refers_to_is_collected_but_stays_where_it_is_held(store, tmp_path):
    kept = await store.add("kept:1", {"/disk/d": _file(tmp_path, b"kept")})
    gone = await load(store, tmp_path, tar(entry("disk/d", DISK)))
    file = await store.file(gone, "/disk")
    await store.file(kept, "/disk")
    held = files.hold(file, tmp_path / "machine" / "root.base")
    await store.remove("demo:1")
    assert await store.collect() > 0
    assert not file.exists()
    assert held.read_bytes() == DISK
    assert files.hold(tmp_path / "gone", held).read_bytes() == DISK
    assert (await store.file(kept, "/disk")).read_bytes() == b"kept"
    assert len(list(store.blobs.digests())) == 3


async def test_nothing_is_collected_while_an_image_is_being_loaded(store, tmp_path):
    path = archive(tmp_path / "demo.tar", oci(*(tar(entry("disk/d", bytes([n]) * 300_000)) for n in range(20))))
    loading = asyncio.create_task(store.load(path))
    while not loading.done():
        await store.collect()
        await asyncio.sleep(0)
    [image] = await loading
    assert (await store.file(image, "/disk")).stat().st_size == 300_000


async def test_an_image_made_of_files_depends_on_their_bytes_alone(store, tmp_path):
    files = {"/boot/vmlinuz": _file(tmp_path, b"kernel"), "/boot/initrd": _file(tmp_path, b"i" * 700)}
    first = await store.add("isthmus.dev/appliance", files)
    second = await store.add("other:1", dict(reversed(files.items())))
    assert first.digest == second.digest
    assert (await store.file(first, "/boot/initrd")).read_bytes() == b"i" * 700
    with pytest.raises(ImageError, match="No such file"):
        await store.add("broken:1", {"/x": tmp_path / "absent"})


def _file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / digest(data)[7:20]
    path.write_bytes(data)
    return path
