"""Images that come as streams: every format and compression, holes, and what is refused."""

import gzip
import lzma
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.node.disk import compression, ingest, probe

MIB = 1 << 20
CONTENT = b"\x7f" * 70000 + bytes(MIB) + os.urandom(1000)


async def pieces(data, size=10_007):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def volume(tmp_path):
    (tmp_path / "disk.img").write_bytes(b"before")
    return tmp_path


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        lzma.compress,
        lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
        lambda data: lzma.compress(data[:100]) + lzma.compress(data[100:]),
    ],
    ids=["raw", "gzip", "xz", "gzip in members", "xz in streams"],
)
async def test_a_stream_becomes_a_disk_of_the_volumes_size_with_its_holes(volume, pack):
    assert await ingest.receive(pieces(pack(CONTENT)), volume, 4 * MIB) == len(CONTENT)
    disk = volume / "disk.img"
    assert disk.read_bytes() == CONTENT + bytes(4 * MIB - len(CONTENT))
    assert disk.stat().st_blocks * 512 < MIB
    assert [path.name for path in volume.iterdir()] == ["disk.img"]


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vdi", "vhdx", "vpc"])
async def test_other_formats_are_converted(volume, tmp_path_factory, kind):
    place = tmp_path_factory.mktemp("image")
    (place / "raw").write_bytes(CONTENT.ljust(2 * MIB, b"\0"))
    force = ["-o", "force_size=on"] if kind == "vpc" else []
    command = ["qemu-img", "convert", "-f", "raw", "-O", kind, *force, place / "raw", place / "image"]
    subprocess.run(command, check=True)
    await ingest.receive(pieces(gzip.compress((place / "image").read_bytes())), volume, 4 * MIB)
    assert (volume / "disk.img").read_bytes() == CONTENT.ljust(4 * MIB, b"\0")


def vmdk(descriptor):
    """A sparse VMDK's header without a capacity, whose descriptor is to be believed."""
    return b"KDMV" + bytes(16) + descriptor.ljust(1004, b"\0")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\x7f" * (3 * MIB), "has room for"),
        (gzip.compress(CONTENT)[:-20], "too early"),
        (gzip.compress(CONTENT)[:10] + b"\xff" * 900, "broken"),
        (lzma.compress(CONTENT)[:-20], "too early"),
        (b"# Disk DescriptorFile\nRW 1 FLAT \"/etc/shadow\"\n", "other files"),
        (vmdk(b"# Disk DescriptorFile\n"), "other files"),
        (b"QFI\xfb" + bytes(600), "version"),
    ],
)  # fmt: skip
async def test_what_is_refused_leaves_the_volume_as_it_was(volume, data, said):
    with pytest.raises(probe.ImageRefusedError, match=said):
        await ingest.receive(pieces(data), volume, 2 * MIB)
    assert [path.name for path in volume.iterdir()] == ["disk.img"]
    assert (volume / "disk.img").read_bytes() == b"before"


async def test_an_image_that_names_another_file_is_not_followed(volume, tmp_path_factory):
    place = tmp_path_factory.mktemp("image")
    (place / "base").write_bytes(bytes(MIB))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-F", "raw", "-b", place / "base", place / "x"], check=False
    )
    if not (place / "x").exists():
        subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", place / "base.vmdk", "1M"], check=True)
        command = ["qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", place / "base.vmdk", place / "x"]
        subprocess.run(command, check=True)
    with pytest.raises(probe.ImageRefusedError, match=r"another file|cannot read"):
        await ingest.receive(pieces((place / "x").read_bytes()), volume, 2 * MIB)


@given(st.binary(max_size=5000), st.integers(1, 999), st.sampled_from([bytes, gzip.compress, lzma.compress]))
def test_decoders_do_not_care_how_a_stream_is_cut(data, size, pack):
    packed = pack(data)
    decoder = compression.find_decoder(packed[:512] if pack is not bytes else b"plain!")
    out = b"".join(
        piece for start in range(0, len(packed), size) for piece in decoder.feed(packed[start : start + size])
    )
    decoder.close()
    assert out == data


@given(st.binary(max_size=600), st.sampled_from([b"", compression.GZIP, compression.XZ]))
def test_decoders_raise_nothing_but_their_own_error(data, start):
    decoder = compression.find_decoder(start + data)
    try:
        for _ in decoder.feed(start + data):
            pass
        decoder.close()
    except compression.CompressionError:
        pass
