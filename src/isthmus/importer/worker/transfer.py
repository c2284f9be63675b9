"""A package's disks into volumes: each streamed once, checked against the manifest, durable when this returns.

What fails leaves every volume of the transfer empty. A transfer that was killed is run again, and finds in its volumes
how far it was (`journal`): disks that are complete are not read again, and the one at hand goes on where it was, its
digest too, if its source can be read anywhere and is still the same. Otherwise it begins by emptying the volume.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.codec.vmdk.header import Limits
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.sources.machine import Disk
from isthmus.importer.sources.package import Content, Package
from isthmus.importer.worker import journal, pieces
from isthmus.importer.worker.interrupt import Interrupted
from isthmus.importer.worker.journal import Entry, Journal
from isthmus.importer.worker.pipeline import Pipeline
from isthmus.importer.worker.progress import EVERY, DiskState, Progress, Rate, Snapshot
from isthmus.importer.worker.target import Target, TargetError


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which volume a disk goes into: `path` is a folder or a block device, `size` the volume's in bytes if known."""

    disk: str
    volume: str
    path: Path
    size: int | None = None


class Transfer:
    """One run. `check` is called often, and raises to stop it (deadline, signal)."""

    def __init__(
        self, package: Package, machine_disks: Sequence[Disk], assignments: Sequence[Assignment], progress: Progress,
        check: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._package = package
        self._progress = progress
        self._check = check
        self._rate = Rate()
        self._told = 0.0
        self._states = {a.disk: DiskState(a.disk, a.volume) for a in assignments}
        self._targets = {a.disk: Target(a.path, a.size) for a in assignments}
        self._disks = {disk.id: disk for disk in machine_disks}
        self._journals: dict[str, Journal] = {}
        self._noted = 0.0
        for assignment in assignments:
            self._admit(assignment.disk)

    def run(self) -> Snapshot:
        """Do it. Raises SourceError, TargetError, or what `check` raises; the volumes are empty then."""
        try:
            self._write_all()
            self._package.finish()
        except BaseException as error:
            self._clean_up(error)
            raise
        for kept in self._journals.values():
            kept.remove()
        return self._tell("Succeeded")

    def _admit(self, identifier: str) -> None:
        """Refuse before anything is written what cannot go well."""
        disk = self._disks.get(identifier)
        if disk is None:
            known = ", ".join(self._disks) or "none"
            raise SourceError(f"it has no disk {identifier!r} (it has: {known})", source=self._package.name)
        target = self._targets[identifier]
        if disk.parent:
            reason = f"disk {identifier!r} is a delta of disk {disk.parent!r}: export the machine without snapshots"
            raise SourceError(reason, source=self._package.name)
        if (disk.capacity or 0) > target.size:
            reason = f"disk {identifier!r} has {disk.capacity} bytes, but its volume only {target.size}"
            raise SourceError(reason, source=self._package.name)
        size = disk.file.size if disk.file else 0
        self._states[identifier] = replace(self._states[identifier], source_size=size, capacity=disk.capacity or 0)

    def _write_all(self) -> None:
        by_file: dict[str, list[str]] = {}
        for identifier in self._states:
            disk = self._disks[identifier]
            if disk.file is None:
                self._targets[identifier].prepare(disk.capacity or 0)
                self._finish(identifier, 0, "")
            else:
                by_file.setdefault(disk.file.href, []).append(identifier)
        references = [self._disks[ids[0]].file for ids in by_file.values()]
        for reference, content in self._package.walk([r for r in references if r]):
            first, *more = by_file[reference.href]
            if more and content.random is None:
                reason = f"it is the file of {len(more) + 1} disks, which a stream cannot give twice"
                raise SourceError(reason, source=self._package.name, member=reference.href)
            for identifier in (first, *more):
                self._write_disk(identifier, content)

    def _write_disk(self, identifier: str, content: Content) -> None:
        self._update(identifier, phase="Running", source_size=content.stored_size)
        entry = self._open_journal(identifier, content).load()
        if entry and self._go_on(identifier, content, entry):
            return
        target, disk = self._targets[identifier], self._disks[identifier]
        self._journals[identifier].remove()
        image = self._open(identifier, content, None)
        capacity = max(image.capacity, disk.capacity or 0)
        target.prepare(capacity)
        self._pump(identifier, content, image, Entry(capacity, 0, 0))

    def _open_journal(self, identifier: str, content: Content) -> Journal:
        names = (self._package.name, content.name, content.identity, identifier)
        source = "\n".join(names) if content.identity else ""
        self._journals[identifier] = Journal(self._targets[identifier].folder, source)
        return self._journals[identifier]

    def _open(self, identifier: str, content: Content, mark: journal.Mark | None) -> pieces.Image:
        limits = Limits(capacity=self._targets[identifier].size)
        return pieces.open_image(
            self._package.name, content, limits, lambda count: self._read(identifier, count), mark
        )  # fmt: skip

    def _go_on(self, identifier: str, content: Content, entry: Entry) -> bool:
        """Take up what an earlier worker has begun; False if that is not possible."""
        if not self._targets[identifier].reopen(entry.capacity):
            return False
        self._update(identifier, source_bytes=entry.read, written_bytes=entry.written, resumed_at=entry.read)
        if entry.mark is None:
            self._recall(entry)
            self._close(identifier, content, entry.capacity)
            return True
        try:
            image = self._open(identifier, content, entry.mark)
        except (LookupError, TypeError, ValueError):
            self._targets[identifier].close()
            self._update(identifier, source_bytes=0, written_bytes=0, resumed_at=0)
            return False
        self._recall(entry)
        self._pump(identifier, content, image, entry)
        return True

    def _recall(self, entry: Entry) -> None:
        """The digests of files that will not be read again."""
        for name, found in entry.digests.items():
            self._package.ledger.found.setdefault(name, found)

    def _pump(self, identifier: str, content: Content, image: pieces.Image, entry: Entry) -> None:
        """All pieces of `image` into the volume, behind what `entry` says is there."""
        target = self._targets[identifier]
        self._noted = time.monotonic()
        with closing(image.pieces), Pipeline(self._package.name, target) as pipeline:  # type: ignore[type-var]
            for piece in image.pieces:
                if isinstance(piece, pieces.Point):
                    self._note(identifier, piece, pipeline, entry)
                    continue
                pipeline.put(piece)
                self._tick(identifier, entry.written + pipeline.written)
            pipeline.drain()
        self._update(identifier, written_bytes=entry.written + pipeline.written)
        self._close(identifier, content, entry.capacity)

    def _note(self, identifier: str, point: pieces.Point, pipeline: Pipeline, entry: Entry) -> None:
        """Now and then: see that everything is on the disk so far, and keep a note of it there."""
        if time.monotonic() - self._noted < journal.EVERY:
            return
        pipeline.settle()
        if mark := point.mark():
            self._targets[identifier].sync()
            read = self._states[identifier].source_bytes
            now = Entry(entry.capacity, read, entry.written + pipeline.written, mark, self._package.ledger.found)
            self._save(identifier, now)
        self._noted = time.monotonic()

    def _save(self, identifier: str, entry: Entry) -> None:
        try:
            self._journals[identifier].save(entry)
        except OSError as error:
            raise TargetError(f"cannot keep a note of how far the transfer is: {error}") from error

    def _close(self, identifier: str, content: Content, capacity: int) -> None:
        """The disk is written."""
        ledger, state = self._package.ledger, self._states[identifier]
        ledger.verify()
        digests = ledger.found.get(content.name, {})
        self._finish(identifier, capacity, next((f"{name}:{value}" for name, value in digests.items()), ""))
        self._save(identifier, Entry(capacity, state.source_bytes, state.written_bytes, None, ledger.found))

    def _finish(self, identifier: str, capacity: int, digest: str) -> None:
        self._targets[identifier].finish()
        file = self._disks[identifier].file
        self._update(
            identifier,
            phase="Succeeded",
            capacity=capacity or self._states[identifier].capacity,
            digest=digest,
            verified=bool(file and self._package.ledger.verified(file.href)),
        )

    def _read(self, identifier: str, count: int) -> None:
        state = self._states[identifier]
        done = state.source_bytes + count
        if state.source_size is not None:
            done = min(done, state.source_size)  # what was compressed gives more bytes than it has
        self._states[identifier] = replace(state, source_bytes=done)

    def _tick(self, identifier: str, written: int) -> None:
        self._check()
        if time.monotonic() - self._told >= EVERY:
            self._update(identifier, written_bytes=written)
            self._tell("Running")

    def _update(self, identifier: str, **changes: object) -> None:
        self._states[identifier] = replace(self._states[identifier], **changes)  # type: ignore[arg-type]

    def _tell(self, phase: str, message: str = "") -> Snapshot:
        self._told = time.monotonic()
        states = tuple(self._states.values())
        rate = self._rate.update(sum(state.source_bytes for state in states))
        sizes = [state.source_size for state in states]
        left = None
        if None not in sizes:
            left = self._rate.left(sum(max(0, (s.source_size or 0) - s.source_bytes) for s in states))
        snapshot = Snapshot(phase, states, rate, left, message)
        self._progress.report(snapshot)
        return snapshot

    def _clean_up(self, error: BaseException) -> None:
        kept = isinstance(error, Interrupted) and any(one.kept for one in self._journals.values())
        for identifier, state in self._states.items():
            if kept:
                self._targets[identifier].close()  # to be taken up, unless whoever told us to end deletes the volume
            elif state.phase != "Pending":
                if identifier in self._journals:
                    self._journals[identifier].remove()
                self._targets[identifier].reset()
                self._update(identifier, phase="Failed" if state.phase == "Running" else "Pending", written_bytes=0)
        self._tell("Failed", str(error))
