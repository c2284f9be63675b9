"""The threads that write: they always end, and say what went wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.importer.worker.pieces import Piece
from isthmus.importer.worker.pipeline import Pipeline
from isthmus.importer.worker.target import Target


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("hasty")
def test_all_threads_end_however_soon_some_of_them_do(tmp_path: Path):
    target = Target(tmp_path)
    target.prepare(1 << 20)
    for _ in range(200):
        with Pipeline("m.ova", target, threads=8) as pipeline:
            pipeline.put(Piece(0, 4096, b"x" * 4096, "disk"))
            pipeline.drain()
    target.finish()


def test_what_was_put_is_written_when_it_has_settled_and_more_may_follow(tmp_path: Path):
    target = Target(tmp_path)
    target.prepare(1 << 20)
    with Pipeline("m.ova", target) as pipeline:
        pipeline.put(Piece(0, 4096, b"x" * 4096, "disk"))
        pipeline.settle()
        assert pipeline.written == 4096
        assert (tmp_path / "disk.img").read_bytes()[:4096] == b"x" * 4096
        pipeline.put(Piece(8192, 4096, b"y" * 4096, "disk"))
        pipeline.drain()
    assert (tmp_path / "disk.img").read_bytes()[8192:12288] == b"y" * 4096
    target.close()
