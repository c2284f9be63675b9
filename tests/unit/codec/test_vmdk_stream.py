"""streamOptimized: VMware's shape (our generator's) and qemu-img's, whole, cut and damaged."""

import hashlib
import io
import json
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vmware import disks, vmdk

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import stream
from isthmus.codec.vmdk.header import SECTOR, Limits

GRAIN = vmdk.GRAIN


def read(data: bytes, chunk: int = 1 << 20, limits: Limits | None = None) -> bytes:
    """The disk that a stream holds."""
    reader = stream.StreamReader(limits)
    events = []
    for start in range(0, len(data), chunk):
        events += reader.receive_data(data[start : start + chunk])
    events += reader.receive_eof()
    opened, *grains, end = events
    assert isinstance(opened, stream.Opened)
    assert isinstance(end, stream.End)
    assert end.grains == len(grains)
    image = bytearray(opened.header.capacity)
    for grain in grains:
        size = min(GRAIN, len(image) - grain.position)
        content = stream.inflate(grain, GRAIN, size, zlib.decompressobj, zlib.error)
        image[grain.position : grain.position + size] = content[:size]
    return bytes(image)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disks.make(tmp_path_factory.mktemp("raw") / "disk.raw", size=(70 << 20) + 1536)


@pytest.fixture(scope="module")
def vmware(raw: Path) -> bytes:
    out = io.BytesIO()
    vmdk.write_stream_optimized(raw, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def qemu(raw: Path) -> bytes:
    path = raw.with_suffix(".vmdk")
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, path], check=True
    )
    return path.read_bytes()


@pytest.mark.parametrize("chunk", [1 << 20, 4099, 512])
def test_a_disk_in_vmwares_shape_is_read_whole(raw: Path, vmware: bytes, chunk: int):
    assert read(vmware, chunk) == raw.read_bytes()


def test_a_disk_written_by_qemu_img_is_read_whole(raw: Path, qemu: bytes):
    assert read(qemu) == raw.read_bytes()


def test_qemu_img_agrees_with_our_generator(raw: Path, vmware: bytes, tmp_path: Path):
    (tmp_path / "disk.vmdk").write_bytes(vmware)
    subprocess.run(["qemu-img", "compare", "-f", "vmdk", "-F", "raw", tmp_path / "disk.vmdk", raw], check=True)


def test_a_disk_of_zeros_has_no_grains(tmp_path: Path):
    raw = tmp_path / "zeros.raw"
    raw.write_bytes(b"")
    with raw.open("r+b") as file:
        file.truncate(100 << 20)
    out = io.BytesIO()
    vmdk.write_stream_optimized(raw, out)
    reader = stream.StreamReader()
    events = reader.receive_data(out.getvalue()) + reader.receive_eof()
    assert [type(event) for event in events] == [stream.Opened, stream.End]


@pytest.mark.parametrize("shape", ["vmware", "qemu"])
def test_every_cut_stream_is_told_from_a_whole_one(shape: str, request: pytest.FixtureRequest):
    data: bytes = request.getfixturevalue(shape)
    generator = random.Random(7)
    # qemu-img's files end with zeros, which nobody misses.
    last = len(data) - 1 if shape == "vmware" else len(data.rstrip(b"\0"))
    for cut in [0, 1, 511, 512, 1024, 65536, *(generator.randrange(last) for _ in range(60))]:
        with pytest.raises(MalformedError, match=r"cut off|grains came"):
            read(data[:cut])


def test_a_cut_grain_names_its_place_on_the_disk_and_in_the_file(vmware: bytes):
    offset = 128 * SECTOR
    sector, size = struct.unpack_from("<QI", vmware, offset)
    with pytest.raises(MalformedError) as caught:
        read(vmware[: offset + size // 2])
    assert f"the grain for disk byte {sector * SECTOR} that begins at byte {offset}" in caught.value.reason
    assert caught.value.offset == offset + size // 2


def grain_offsets(data: bytes) -> list[int]:
    reader = stream.StreamReader()
    return [event.offset for event in reader.receive_data(data) if isinstance(event, stream.Grain)]


def test_a_flipped_bit_in_a_grain_names_the_grain(vmware: bytes):
    offset = grain_offsets(vmware)[3]
    damaged = bytearray(vmware)
    damaged[offset + 12 + 40] ^= 0x10
    with pytest.raises(MalformedError, match=r"cannot be inflated|inflates to") as caught:
        read(bytes(damaged))
    assert caught.value.offset == offset


@pytest.mark.parametrize("shape", ["vmware", "qemu"])
def test_a_grain_moved_to_another_place_is_noticed_without_any_digest(shape: str, request: pytest.FixtureRequest):
    data = bytearray(request.getfixturevalue(shape))
    struct.pack_into("<Q", data, grain_offsets(bytes(data))[-1], 5 * GRAIN // SECTOR)  # a hole of the disk
    with pytest.raises(MalformedError, match="not where the grain tables say"):
        read(bytes(data))


def test_a_grain_that_comes_twice_is_refused(vmware: bytes):
    first, second = grain_offsets(vmware)[:2]
    damaged = bytearray(vmware)
    damaged[second : second + 8] = damaged[first : first + 8]
    with pytest.raises(MalformedError, match="comes twice") as caught:
        read(bytes(damaged))
    assert caught.value.offset == second


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(form, out, offset, value)
    return bytes(out)


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (0, "<I", 0, "no VMDK"),
        (0, "<4s", b"COWD", "snapshot"),
        (4, "<I", 9, "version 9"),
        (12, "<Q", 0, "capacity is 0"),
        (12, "<Q", 10 << 50 >> 9, "claims a capacity of 11258999068426240 bytes, more than"),
        (20, "<Q", 100, "a grain of 51200 bytes"),
        (20, "<Q", 1 << 40, "a grain of"),
        (36, "<Q", 1 << 30, "a descriptor of"),
        (44, "<I", 1 << 31, "entries per grain table"),
        (64, "<Q", 1 << 50, "metadata are too much"),
        (73, "<I", 0x0A0A0A0A, "text mode"),
        (77, "<H", 7, "compression method 7"),
        (8, "<I", 3, "not streamOptimized"),
        (128 * SECTOR, "<Q", 1 << 60, "no grain of this disk"),
        (128 * SECTOR, "<Q", 1, "no grain of this disk"),
        (128 * SECTOR + 8, "<I", 1 << 31, "too many"),
    ],
)
def test_hostile_headers_and_markers_are_refused(vmware: bytes, offset: int, form: str, value: int, message: str):
    with pytest.raises(MalformedError, match=message) as caught:
        read(patched(vmware, offset, form, value))
    assert abs(caught.value.offset - offset) <= 12


def test_a_capacity_larger_than_the_volume_is_refused(vmware: bytes):
    with pytest.raises(MalformedError, match="more than the 1048576 of its volume"):
        read(vmware, limits=Limits(capacity=1 << 20))


def test_a_grain_that_inflates_to_more_than_a_grain_is_refused_without_inflating_it(vmware: bytes):
    bomb = zlib.compress(bytes(64 << 20))
    grain = stream.Grain(0, memoryview(bomb), 4711)
    with pytest.raises(MalformedError, match="inflates to more than 65536 bytes") as caught:
        stream.inflate(grain, GRAIN, GRAIN, zlib.decompressobj, zlib.error)
    assert caught.value.offset == 4711


def test_a_stream_without_its_footer_is_cut_off(vmware: bytes):
    footer = len(vmware) - 3 * SECTOR
    with pytest.raises(MalformedError, match="without a footer"):
        read(vmware[:footer] + bytes(SECTOR))


def test_what_follows_the_end_of_the_stream_means_nothing(raw: Path, vmware: bytes):
    assert read(vmware + b"rest" * 1000) == raw.read_bytes()


@settings(max_examples=25, deadline=None)
@given(chunks=st.lists(st.integers(1, 200_000), min_size=1, max_size=40))
def test_how_the_bytes_are_cut_into_chunks_does_not_matter(vmware: bytes, chunks: list[int]):
    reader = stream.StreamReader()
    digest, at = hashlib.sha256(), 0
    events = []
    for size in [*chunks, len(vmware)]:
        events += reader.receive_data(vmware[at : at + size])
        at += size
    for event in [*events, *reader.receive_eof()]:
        if isinstance(event, stream.Grain):
            digest.update(struct.pack("<QQ", event.position, event.offset) + bytes(event.data))
    expected = hashlib.sha256()
    for event in stream.StreamReader().receive_data(vmware):
        if isinstance(event, stream.Grain):
            expected.update(struct.pack("<QQ", event.position, event.offset) + bytes(event.data))
    assert digest.digest() == expected.digest()


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(["vmware", "qemu"]), st.integers(1, 300_000))
def test_a_reader_that_was_restored_anywhere_gives_what_was_left(vmware, qemu, data, shape: str, chunk: int):
    stored = {"vmware": vmware, "qemu": qemu}[shape]
    cut = min(len(stored), data.draw(st.integers(0, len(stored) // chunk)) * chunk)
    first, before = stream.StreamReader(), []
    for start in range(0, cut, chunk):
        before += first.receive_data(stored[start : start + chunk])
    state = first.state()
    if state is None:
        assert not before[1:] or cut > len(stored) - 1024 - SECTOR
        return
    begin = min(state["offset"], cut)
    second = stream.StreamReader.restored(json.loads(json.dumps(state)), begin)
    after = second.receive_data(stored[begin:]) + second.receive_eof()
    grains = [(g.position, bytes(g.data)) for g in (*before, *after) if isinstance(g, stream.Grain)]
    assert grains == [(g.position, bytes(g.data)) for g in events_of(stored) if isinstance(g, stream.Grain)]
    assert after[-1] == stream.End(len(grains))


def events_of(stored: bytes) -> list[stream.Event]:
    reader = stream.StreamReader()
    return reader.receive_data(stored) + reader.receive_eof()


def test_a_restored_reader_still_sees_that_a_grain_comes_twice(vmware: bytes):
    reader = stream.StreamReader()
    reader.receive_data(vmware[: 1 << 20])
    state = reader.state() | {"offset": 128 * SECTOR}
    again = stream.StreamReader.restored(state, 128 * SECTOR)
    with pytest.raises(MalformedError, match="comes twice"):
        again.receive_data(vmware[128 * SECTOR : 1 << 20])


def test_a_restored_reader_still_counts_the_grains_before_it(vmware: bytes):
    reader = stream.StreamReader()
    reader.receive_data(vmware[: 1 << 20])
    grains, sectors, weighted = reader.state()["sums"]
    again = stream.StreamReader.restored(reader.state() | {"sums": (grains - 1, sectors, weighted)}, reader.offset)
    with pytest.raises(MalformedError, match="grains came of the"):
        again.receive_data(vmware[reader.offset :])
