import gzip
import resource
import subprocess

import pytest

from isthmus.engine.node.disk import downward, files, ingest, probe
from isthmus.engine.node.vm.errors import DiskError, SpecError
from isthmus.engine.node.vm.machine import Image

MIB = 1 << 20


async def stream(data, piece=70_000):
    for start in range(0, len(data), piece):
        yield data[start : start + piece]


def test_a_disk_grows_and_is_never_cut(tmp_path):
    disk = tmp_path / "v" / "disk.img"
    files.ensure_raw(disk, 2 * MIB)
    disk.write_bytes(b"x" * (2 * MIB))
    files.ensure_raw(disk, MIB)
    assert disk.stat().st_size == 2 * MIB
    files.ensure_raw(disk, 3 * MIB)
    assert disk.stat().st_size == 3 * MIB
    assert disk.read_bytes()[: 2 * MIB] == b"x" * (2 * MIB)


def test_a_new_disk_takes_no_space(tmp_path):
    files.ensure_volume(tmp_path / "v", 100 * MIB)
    assert (tmp_path / "v" / "disk.img").stat().st_blocks == 0


def test_only_a_directory_of_ours_is_removed(tmp_path):
    volumes, other = tmp_path / "volumes", tmp_path / "other"
    (volumes / "pv").mkdir(parents=True)
    (other / "pv").mkdir(parents=True)
    files.remove_volume(other / "pv", volumes)
    files.remove_volume(volumes / "pv" / "..", volumes)
    files.remove_volume(volumes, volumes)
    assert (other / "pv").exists()
    assert (volumes / "pv").exists()
    files.remove_volume(volumes / "pv", volumes)
    assert not (volumes / "pv").exists()


async def test_an_overlay_is_kept_when_it_is_there(tmp_path):
    base = tmp_path / "base.img"
    base.write_bytes(b"x" * MIB)
    overlay = await files.ensure_overlay(tmp_path / "o.qcow2", Image(base))
    before = overlay.path.stat().st_mtime_ns
    again = await files.ensure_overlay(tmp_path / "o.qcow2", Image(base))
    assert again.path.stat().st_mtime_ns == before
    assert again.backing == Image(base)


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress])
async def test_an_upload_fills_the_disk_and_keeps_its_holes(tmp_path, pack):
    content = b"boot" + bytes(5 * MIB) + b"end"
    files.ensure_volume(tmp_path, 8 * MIB)
    await ingest.receive(stream(pack(content)), tmp_path, 8 * MIB)
    disk = tmp_path / "disk.img"
    assert disk.read_bytes() == content.ljust(8 * MIB, b"\0")
    assert disk.stat().st_blocks * 512 < MIB
    assert list(tmp_path.iterdir()) == [disk]


async def test_an_uploaded_qcow2_becomes_raw(tmp_path):
    raw, image = tmp_path / "r", tmp_path / "q"
    raw.write_bytes(b"hello".ljust(MIB, b"\0"))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
    volume = tmp_path / "v"
    files.ensure_volume(volume, 2 * MIB)
    await ingest.receive(stream(image.read_bytes()), volume, 2 * MIB)
    assert (volume / "disk.img").read_bytes() == b"hello".ljust(2 * MIB, b"\0")


@pytest.mark.parametrize(
    "data",
    [b"x" * (2 * MIB), gzip.compress(bytes(50 * MIB)), gzip.compress(b"x" * 1000)[:-5], b"\x1f\x8bnonsense"],
    ids=["too large", "a bomb", "cut short", "no gzip"],
)
async def test_a_bad_upload_leaves_the_volume_as_it_was(tmp_path, data):
    files.ensure_volume(tmp_path, MIB)
    (tmp_path / "disk.img").write_bytes(b"before".ljust(MIB, b"\0"))
    with pytest.raises(probe.ImageRefusedError):
        await ingest.receive(stream(data), tmp_path, MIB)
    assert (tmp_path / "disk.img").read_bytes().startswith(b"before")
    assert [path.name for path in tmp_path.iterdir()] == ["disk.img"]


def test_downward_fields_are_written_as_kubernetes_does():
    vmi = {"metadata": {"name": "vm", "namespace": "ns", "labels": {"b": '2"', "a": "1"}}}
    source = {
        "fields": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a']"}},
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        ]
    }
    assert downward.build_files(vmi, source) == {"labels": b'a="1"\nb="2\\""\n', "a": b"1", "name": b"vm"}
    with pytest.raises(SpecError, match="spec"):
        downward.read_field(vmi, "spec.domain")


@pytest.fixture
def small_files():
    """No file of this process may be larger than 1 MiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_no_file_system_holds_is_an_error_of_the_disk_and_leaves_nothing(tmp_path, small_files):
    with pytest.raises(DiskError, match=r"a disk of 2097152 bytes cannot be made at .*: File too large"):
        files.ensure_volume(tmp_path / "pv", 2 * MIB)
    assert list((tmp_path / "pv").iterdir()) == []


def test_a_volume_whose_directory_cannot_be_made_is_an_error_of_the_disk(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError, match="Not a directory"):
        files.ensure_volume(tmp_path / "file" / "pv", 1)
