"""Digests of the files of a package, made while they stream by, and their comparison with the manifest."""

import hashlib
import queue
import threading
from collections.abc import Mapping, Sequence

from isthmus.codec import manifest
from isthmus.importer.sources import digests
from isthmus.importer.sources.digests import Midstate
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.sources.streams import Hashed, Stream

_DEPTH = 8  # chunks on their way to the hashing thread


class Hasher:
    """Digests of one file in a thread of its own: hashlib lets go of the interpreter's lock while it works."""

    def __init__(self, algorithms: Sequence[str], midstate: Midstate | None = None) -> None:
        """`midstate` is what one of them goes on from. Raises ValueError if that cannot be."""
        begun = {midstate.algorithm: midstate} if midstate else {}
        if begun.keys() - set(algorithms):
            raise ValueError(f"the digest that was begun is none of {', '.join(algorithms)}")
        self._hashes = {name: digests.new(name, begun.get(name)) for name in algorithms}
        self._queue: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        """The next bytes; waits if the thread is behind."""
        self._queue.put(data)

    def finish(self) -> dict[str, str]:
        """The digests in hex, by algorithm."""
        self._queue.put(None)
        self._thread.join()
        return {name: hash_.hexdigest() for name, hash_ in self._hashes.items()}

    def midstate(self) -> Midstate | None:
        """Where the only digest stands after all that was given; None if it cannot be told (here)."""
        self._queue.join()
        hash_, *more = self._hashes.values()
        return hash_.midstate() if isinstance(hash_, digests.Resumable) and not more else None

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            for hash_ in self._hashes.values():
                hash_.update(data)
            self._queue.task_done()


class Ledger:
    """What each file of a package was found to be, and what the manifest (`expected`) says that it should be.

    In a pipe the manifest may come last: while it may still come (`late`) all algorithms are computed.
    """

    def __init__(self, source: str, expected: Mapping[str, manifest.Digest] | None = None) -> None:
        self.source = source
        self.expected = expected
        self.late = False
        self.found: dict[str, dict[str, str]] = {}

    def watch(self, name: str, stream: Stream, begun: Midstate | None = None, skip: int = 0) -> Stream:
        """`stream`, whose digest will be in the ledger when it was read to its end.

        The file's digest goes on from `begun`, and the first `skip` bytes are in that already. Raises ValueError.
        """

        def done(found: dict[str, str]) -> None:
            self.found[name] = found

        return Hashed(stream, Hasher(self._algorithms(name), begun), done, skip)

    def add(self, name: str, data: bytes) -> None:
        """A small file, already read."""
        self.found[name] = {
            algorithm: hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
            for algorithm in self._algorithms(name)
        }

    def verify(self, names: Sequence[str] | None = None) -> None:
        """Compare what was found with the manifest. Raises SourceError naming the first file that differs."""
        for name in self.found if names is None else names:
            expected = (self.expected or {}).get(name)
            if expected and self.found[name].get(expected.algorithm) != expected.value:
                algorithm, found = expected.algorithm, self.found[name].get(expected.algorithm)
                reason = f"its {algorithm.upper()} is {found}, but the manifest says {expected.value}"
                reason += ": the file is damaged or was changed, copy it again"
                raise SourceError(reason, source=self.source, member=name)

    def verified(self, name: str) -> bool:
        """Whether the manifest has this file's digest."""
        return name in (self.expected or {})

    def _algorithms(self, name: str) -> Sequence[str]:
        if self.expected is None and self.late:
            return tuple(manifest.ALGORITHMS.values())
        digest = (self.expected or {}).get(name)
        return (digest.algorithm,) if digest else ("sha256",)
