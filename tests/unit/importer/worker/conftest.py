"""A small machine of two disks as a package in every form, and volumes for it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.vmware import disks, make_ova, ovf

from isthmus.importer.sources import opening
from isthmus.importer.worker.progress import Snapshot
from isthmus.importer.worker.transfer import Assignment, Transfer


@dataclass
class Export:
    """What was exported: the raw disks, and the same as OVF folder and as OVA."""

    raws: list[Path]
    folder: Path
    descriptor: Path
    ova: Path


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    base = tmp_path_factory.mktemp("export")
    raws = [disks.make(base / f"{i}.raw", size=(5 << 20) * i + 1536, seed=i) for i in (1, 2)]
    machine = ovf.Machine("legacy", (), [ovf.Card("VM Network", "00:50:56:01:02:03")])
    folder = base / "folder"
    folder.mkdir()
    descriptor = make_ova.make_folder(folder, machine, raws)
    ova = base / "legacy.ova"
    make_ova.pack(ova, [folder / name for name in make_ova.order(folder)])
    return Export(raws, folder, descriptor, ova)


class Audience:
    """Keeps the snapshots."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []

    def report(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def close(self) -> None:
        pass


class Volumes:
    """Volumes as the agent makes them, each with an empty disk.img of `size` bytes, or none at all."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.audience = Audience()

    def path(self, name: str, size: int | None = 16 << 20) -> Path:
        folder = self.base / name
        if not folder.exists():
            folder.mkdir(parents=True)
            if size is not None:
                with (folder / "disk.img").open("wb") as file:
                    file.truncate(size)
        return folder

    def transfer(self, location: str, *ids: str, size: int | None = 16 << 20, machine: str = "") -> Snapshot:
        package = opening.open_package(location)
        try:
            wanted = [Assignment(disk, f"vol-{disk}", self.path(disk, size)) for disk in ids]
            return Transfer(package, package.envelope.machine(machine).disks, wanted, self.audience).run()
        finally:
            package.close()

    def content(self, name: str) -> bytes:
        return (self.base / name / "disk.img").read_bytes()

    def assert_untouched(self) -> None:
        """Nothing was left behind: every image is empty, all hole, of its old size."""
        for image in self.base.glob("*/disk.img"):
            info = image.stat()
            assert info.st_blocks == 0, f"{image} has data"
            assert info.st_size == 16 << 20


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes")
