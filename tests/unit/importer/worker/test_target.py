"""Volumes: folders, block devices, full ones."""

import mmap
import random
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.importer.worker.target import Target, TargetError


def aligned(data: bytes) -> memoryview:
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    return memoryview(buffer)


def test_writes_at_odd_places_and_of_odd_sizes_arrive(tmp_path: Path):
    generator, expected = random.Random(1), bytearray(1 << 20)
    target = Target(tmp_path)
    target.prepare(len(expected))
    for _ in range(60):
        position = generator.choice((1, 512, 4096)) * generator.randrange(100)
        data = generator.randbytes(generator.choice((512, 4096, 5000, 65536)))
        target.write(position, aligned(data))
        expected[position : position + len(data)] = data
    target.finish()
    assert (tmp_path / "disk.img").read_bytes() == expected


def test_reset_removes_an_image_that_was_not_there(tmp_path: Path):
    target = Target(tmp_path)
    target.prepare(1 << 20)
    target.write(0, aligned(b"x" * 4096))
    target.reset()
    assert list(tmp_path.iterdir()) == []


def test_a_volume_that_is_gone_says_so(tmp_path: Path):
    with pytest.raises(TargetError, match="No such file"):
        Target(tmp_path / "gone" / "volume").prepare(4096)


def test_a_volume_that_takes_no_more_says_so(tmp_path: Path):
    target = Target(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        with pytest.raises(TargetError, match=r"cannot write .*disk.img: File too large"):
            target.prepare(1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        target.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A block device of 4 MiB that is full of something."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xee" * (4 << 20))
    made = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True, check=True)
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


def test_a_block_device_is_zeroed_and_written_in_place(device: Path):
    target = Target(device)
    assert target.size == 4 << 20
    target.prepare(2 << 20)
    target.write(1 << 20, aligned(b"data" * 2048))
    target.finish()
    with device.open("rb") as file:
        content = file.read()
    assert content[1 << 20 : (1 << 20) + 8192] == b"data" * 2048
    assert not any(content[: 1 << 20])
    assert not any(content[(1 << 20) + 8192 :])
    target.reset()
    with device.open("rb") as file:
        assert not any(file.read())
    assert device.exists()
