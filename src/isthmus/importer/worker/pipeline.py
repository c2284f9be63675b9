"""Pieces in, disk out: a few threads inflate, leave zeros out, join neighbours and write.

One thread cannot: isal and the kernel both let go of the interpreter's lock, so inflating, hashing (sources.hashing)
and writing overlap, and two cores are used by one disk. What is under way is bounded: pieces wait in a short queue.
"""

import mmap
import queue
import threading
from types import TracebackType
from typing import Self

from isal import isal_zlib

from isthmus.codec.vmdk import stream
from isthmus.importer.sources.errors import blamed_on
from isthmus.importer.sources.streams import INFLATE_ERROR
from isthmus.importer.worker.pieces import Piece
from isthmus.importer.worker.target import Target

THREADS = 4
BATCH = 8  # pieces handed over at once: half a MiB of the usual grains
_DEPTH = 12  # batches that wait, so that nobody starves where the machine is busy
_RUN = 1 << 20  # most bytes written at once
_BLOCK = 1 << 16  # zeros are left out in such units
_ZEROS = bytes(_BLOCK)


class Pipeline:
    """Use as a context manager: `put` pieces, then `drain`. Leaving it stops the threads, whatever happened."""

    def __init__(self, source: str, target: Target, threads: int = THREADS) -> None:
        self._source = source
        self._target = target
        self._batch: list[Piece] = []
        self._size = 0
        self._queue: queue.Queue[list[Piece] | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self.written = 0
        self._threads = [threading.Thread(target=self._run, name=f"write-{i}", daemon=True) for i in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and self._error is None:
            self._error = value
        self._stop()

    def put(self, piece: Piece) -> None:
        """Take over a piece. Raises what a thread raised: SourceError, TargetError."""
        self._batch.append(piece)
        self._size += piece.size
        if len(self._batch) >= BATCH or self._size >= _RUN:
            self._hand_over()

    def settle(self) -> None:
        """Wait until all that was put is written; more may follow. Raises what a thread raised."""
        self._hand_over()
        self._queue.join()
        self._raise()

    def drain(self) -> None:
        """Wait until all is written. Raises what a thread raised."""
        self._hand_over()
        self._stop()
        self._raise()

    def _hand_over(self) -> None:
        self._raise()
        if self._batch:
            self._queue.put(self._batch)
            self._batch, self._size = [], 0

    def _stop(self) -> None:
        alive = [thread for thread in self._threads if thread.is_alive()]  # counted before the first of them may end
        for _ in alive:
            self._queue.put(None)
        for thread in alive:
            thread.join()

    def _raise(self) -> None:
        if self._error:
            raise self._error

    def _run(self) -> None:
        runs = _Runs(self._target)
        while (batch := self._queue.get()) is not None:
            if not self._error:  # else keep taking, so that nobody waits for room in the queue
                self._write_batch(runs, batch)
            self._queue.task_done()
        runs.close()

    def _write_batch(self, runs: "_Runs", batch: list[Piece]) -> None:
        try:
            for piece in batch:
                self._write(runs, piece)
            written = runs.flush()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that puts
            self._error = error
            return
        with self._lock:
            self.written += written

    def _write(self, runs: "_Runs", piece: Piece) -> None:
        if piece.grain is None:
            runs.add(piece.position, piece.data)
            return
        with blamed_on(self._source, piece.member):
            data = stream.inflate(piece.grain, piece.full_size, piece.size, isal_zlib.decompressobj, INFLATE_ERROR)
        runs.add(piece.position, data[: piece.size])


class _Runs:
    """Collects neighbouring blocks that are not zeros in an aligned buffer, and writes them together."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._buffer = mmap.mmap(-1, _RUN)  # page-aligned, as O_DIRECT wants it
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._written = 0

    def add(self, position: int, data: bytes | memoryview) -> None:
        """Bytes of the disk at `position`."""
        for offset in range(0, len(data), _BLOCK):
            block = bytes(data[offset : offset + _BLOCK])  # bytes compare fast, views one by one
            if block == _ZEROS[: len(block)]:
                continue
            at = position + offset
            if at != self._end or self._end - self._start + len(block) > _RUN:
                self._write()
                self._start = self._end = at
            filled = self._end - self._start
            self._view[filled : filled + len(block)] = block
            self._end += len(block)

    def flush(self) -> int:
        """Write what is left; how many bytes were written since the last call."""
        self._write()
        written, self._written = self._written, 0
        return written

    def close(self) -> None:
        """Give the buffer back."""
        self._view.release()
        self._buffer.close()

    def _write(self) -> None:
        if size := self._end - self._start:
            self._target.write(self._start, self._view[:size])
            self._written += size
        self._start = self._end = 0
