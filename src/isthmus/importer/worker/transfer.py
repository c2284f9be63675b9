"""A package's disks into volumes: each streamed once, checked against the manifest, durable when this returns.

What fails leaves every volume of the transfer empty. A transfer that was killed is simply run again: `Target.prepare`
begins by emptying the volume. (To resume instead, `Assignment` is the place for what is known to be written.)
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
from isthmus.importer.worker import pieces
from isthmus.importer.worker.pipeline import Pipeline
from isthmus.importer.worker.progress import EVERY, DiskState, Progress, Rate, Snapshot
from isthmus.importer.worker.target import Target


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
        target, disk = self._targets[identifier], self._disks[identifier]
        self._update(identifier, phase="Running", source_size=content.stored_size)
        image = pieces.open_image(
            self._package.name, content, Limits(capacity=target.size), lambda count: self._read(identifier, count)
        )
        capacity = max(image.capacity, disk.capacity or 0)
        target.prepare(capacity)
        with closing(image.pieces), Pipeline(self._package.name, target) as pipeline:  # type: ignore[type-var]
            for piece in image.pieces:
                pipeline.put(piece)
                self._tick(identifier, pipeline)
            pipeline.drain()
        self._package.ledger.verify()
        digests = self._package.ledger.found.get(content.name, {})
        self._update(identifier, written_bytes=pipeline.written)
        self._finish(identifier, capacity, next((f"{name}:{value}" for name, value in digests.items()), ""))

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
        self._states[identifier] = replace(state, source_bytes=state.source_bytes + count)

    def _tick(self, identifier: str, pipeline: Pipeline) -> None:
        self._check()
        if time.monotonic() - self._told >= EVERY:
            self._update(identifier, written_bytes=pipeline.written)
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
        for identifier, state in self._states.items():
            if state.phase != "Pending":
                self._targets[identifier].reset()
                self._update(identifier, phase="Failed" if state.phase == "Running" else "Pending", written_bytes=0)
        self._tell("Failed", str(error))
