"""Fuzz the VMDK readers: only MalformedError may come out, and never more data than the limits allow."""

import io
import json
import sys
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("src", "")]

from tests.fuzz import mutate
from tests.vmware import disks, vmdk

from isthmus.codec.malformed import MalformedError
from isthmus.codec.vmdk import descriptor, sparse, stream
from isthmus.codec.vmdk.header import Limits

LIMITS = Limits(capacity=1 << 30)


def target(data: bytes) -> None:
    """All readers on the same bytes."""
    for read in (read_stream, read_stream_in_two, read_sparse, read_descriptor):
        with suppress(MalformedError):
            read(data)


def read_stream(data: bytes) -> None:
    reader, capacity, grain = stream.StreamReader(LIMITS), 0, 0
    for start in range(0, len(data), 50_000):
        for event in reader.receive_data(data[start : start + 50_000]):
            if isinstance(event, stream.Opened):
                capacity, grain = event.header.capacity, event.header.grain
                assert capacity <= LIMITS.capacity
            elif isinstance(event, stream.Grain):
                used = min(grain, capacity - event.position)
                assert used > 0
                assert len(stream.inflate(event, grain, used, zlib.decompressobj, zlib.error)) in (used, grain)
    reader.receive_eof()


def read_stream_in_two(data: bytes) -> None:
    """A reader that is given up in the middle and restored ends like one that was not."""
    cut = len(data) // 2
    first = stream.StreamReader(LIMITS)
    first.receive_data(data[:cut])
    if (state := first.state()) is None:
        return
    begin = min(state["offset"], cut)
    second = stream.StreamReader.restored(json.loads(json.dumps(state)), begin, LIMITS)
    assert outcome(second, data[begin:]) == outcome(first, data[cut:])


def outcome(reader: stream.StreamReader, data: bytes) -> tuple[stream.Event | None, str]:
    """The last event and the error."""
    try:
        events = reader.receive_data(data) + reader.receive_eof()
    except MalformedError as error:
        return None, f"{error.reason} at {error.offset}"
    return events[-1], ""


def read_sparse(data: bytes) -> None:
    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    header, _ = sparse.open_extent(read_at, LIMITS)
    total = 0
    for run in sparse.find_runs(header, read_at, len(data)):
        assert 0 <= run.position < run.position + run.size <= header.capacity
        assert 0 < run.offset + run.size <= len(data)
        total += run.size
    assert total <= len(data) + header.grain


def read_descriptor(data: bytes) -> None:
    for extent in descriptor.parse(data, LIMITS).extents:
        assert "/" not in extent.file
        assert extent.size <= LIMITS.capacity


def seeds() -> list[bytes]:
    """A small disk in every shape."""
    with tempfile.TemporaryDirectory() as name:
        raw = disks.make(Path(name) / "raw", size=(3 << 20) + 1536)
        streamed, hosted = io.BytesIO(), io.BytesIO()
        vmdk.write_stream_optimized(raw, streamed)
        vmdk.write_sparse(raw, hosted, extent="disk.vmdk")
    text = vmdk.descriptor("twoGbMaxExtentFlat", ['RW 4192256 FLAT "d-f001.vmdk" 0', "RW 8 ZERO"])
    return [streamed.getvalue(), hosted.getvalue()[: 400 << 10], text]


if __name__ == "__main__":
    mutate.main(target, seeds())
