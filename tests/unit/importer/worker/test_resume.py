"""A worker that is killed (kill -9) in the middle of a disk: the next one goes on there, and still checks the whole."""

import gzip
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.vmware import disks, make_ova, ovf, vmdk

from isthmus.importer.sources.errors import SourceError
from isthmus.importer.worker import journal

SIZE = (24 << 20) + 1536
DYING = """
import os, signal, sys
from pathlib import Path
from isthmus.importer.sources import opening
from isthmus.importer.worker import journal
from isthmus.importer.worker.progress import JsonLines
from isthmus.importer.worker.transfer import Assignment, Transfer

location, notes, *volumes = sys.argv[1:]
journal.EVERY, left, save = 0.0, int(notes), journal.Journal.save

def counted(self, entry):
    global left
    save(self, entry)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.save = counted
package = opening.open_package(location)
machine = package.envelope.machine()
wanted = [Assignment(disk.id, disk.id, Path(volume)) for disk, volume in zip(machine.disks, volumes)]
Transfer(package, machine.disks, wanted, JsonLines()).run()
"""


INTERRUPTIBLE = "from isthmus.importer.worker.interrupt import interruptible\nwith interruptible(None):\n"


def die(location: str, notes: int, *volumes: Path) -> None:
    """Run a transfer in a process that is killed after it has kept so many notes."""
    command = [sys.executable, "-c", DYING, location, str(notes), *map(str, volumes)]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("raws")
    found = [disks.make(base / f"{seed}.raw", size=SIZE, seed=seed) for seed in (1, 2)]
    for raw in found:
        with raw.open("r+b") as file:
            file.seek(6 << 20)
            file.write(os.urandom(10 << 20))
    return found


def pack(folder: Path, raws: list[Path]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "m.ova"
    make_ova.make_ova(path, ovf.Machine("m", ()), raws)
    return path


def sparse(raw: Path, folder: Path) -> Path:
    path = folder / "d.vmdk"
    with path.open("wb") as out:
        vmdk.write_sparse(raw, out, extent=path.name, order=lambda found: found[::-1])
    return path


FORMS: dict[str, Callable[[Path, Path], Path]] = {
    "OVA": lambda raw, folder: pack(folder, [raw]),
    "monolithicFlat": lambda raw, folder: vmdk.write_flat(raw, folder, "d"),
    "twoGbMaxExtentFlat": lambda raw, folder: vmdk.write_split(raw, folder, "d", flat=True, extent_size=5 << 20),
    "twoGbMaxExtentSparse": lambda raw, folder: vmdk.write_split(raw, folder, "d", flat=False, extent_size=5 << 20),
    "monolithicSparse": sparse,
}


def image(volumes, name: str) -> bytes:
    return volumes.content(name)[:SIZE]


@pytest.mark.parametrize("notes", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_it_goes_on_where_it_was(volumes, tmp_path: Path, raws, form: str, notes: int):
    location = str(FORMS[form](raws[0], tmp_path))
    disk = "vmdisk1" if form == "OVA" else "disk-1"
    die(location, notes, volumes.path(disk, 32 << 20))
    assert (volumes.base / disk / journal.NAME).exists()
    last = volumes.transfer(location, disk, size=32 << 20)
    assert last.disks[0].resumed_at > 0
    assert last.disks[0].source_bytes >= last.disks[0].resumed_at
    assert image(volumes, disk) == raws[0].read_bytes()
    assert last.disks[0].verified == (form == "OVA")
    assert [path.name for path in (volumes.base / disk).iterdir()] == ["disk.img"]


def test_disks_that_are_complete_are_not_read_again(volumes, tmp_path: Path, raws):
    location = str(pack(tmp_path, raws))
    places = [volumes.path(f"vmdisk{n}", 32 << 20) for n in (1, 2)]
    while not (places[1] / journal.NAME).exists():
        die(location, 4, *places)  # each goes on where the last one died
    last = volumes.transfer(location, "vmdisk1", "vmdisk2", size=32 << 20)
    first, second = last.disks
    assert first.resumed_at == first.source_size
    assert 0 < second.resumed_at < second.source_size
    assert (first.verified, second.verified) == (True, True)
    for number, raw in enumerate(raws, 1):
        assert image(volumes, f"vmdisk{number}") == raw.read_bytes()


@pytest.mark.parametrize("form", ["OVA", "twoGbMaxExtentFlat"])
def test_a_source_that_was_changed_is_read_from_its_beginning(volumes, tmp_path: Path, raws, form: str):
    location = FORMS[form](raws[0], tmp_path)
    disk = "vmdisk1" if form == "OVA" else "disk-1"
    die(str(location), 3, volumes.path(disk, 32 << 20))
    FORMS[form](raws[1], tmp_path)
    last = volumes.transfer(str(location), disk, size=32 << 20)
    assert last.disks[0].resumed_at == 0
    assert image(volumes, disk) == raws[1].read_bytes()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[", b'{"version": 1, "source": 3, "entry": {}}'])
def test_a_damaged_note_is_no_note(volumes, tmp_path: Path, raws, damage: bytes):
    location = str(pack(tmp_path, raws[:1]))
    (volumes.path("vmdisk1", 32 << 20) / journal.NAME).write_bytes(damage)
    last = volumes.transfer(location, "vmdisk1", size=32 << 20)
    assert last.disks[0].resumed_at == 0
    assert image(volumes, "vmdisk1") == raws[0].read_bytes()


def test_a_note_of_a_source_that_cannot_be_taken_up_is_taken_away(volumes, tmp_path: Path, raws):
    """The note of an earlier try lies there, and now the package comes in a form that can only be read once."""
    location = pack(tmp_path, raws[:1])
    die(str(location), 2, volumes.path("vmdisk1", 32 << 20))
    (tmp_path / "folder").mkdir()
    text = make_ova.make_folder(tmp_path / "folder", ovf.Machine("m", ()), raws[:1])
    disk = text.parent / "m-disk1.vmdk"
    disk.write_bytes(gzip.compress(disk.read_bytes(), 1))
    text.with_suffix(".mf").unlink()
    found = text.read_text().replace('ovf:id="file1"', 'ovf:id="file1" ovf:compression="gzip"')
    text.write_text(re.sub(r' ovf:size="\d+"', "", found))
    volumes.transfer(str(text), "vmdisk1", size=32 << 20)
    assert image(volumes, "vmdisk1") == raws[0].read_bytes()
    assert [path.name for path in (volumes.base / "vmdisk1").iterdir()] == ["disk.img"]


def test_a_note_whose_state_makes_no_sense_is_no_note(volumes, tmp_path: Path, raws):
    location = str(pack(tmp_path, raws[:1]))
    place = volumes.path("vmdisk1", 32 << 20) / journal.NAME
    die(location, 2, place.parent)
    told = json.loads(place.read_text())
    told["entry"]["mark"]["state"]["header"] = "00" * 512
    place.write_text(json.dumps(told))
    assert volumes.transfer(location, "vmdisk1", size=32 << 20).disks[0].resumed_at == 0
    assert image(volumes, "vmdisk1") == raws[0].read_bytes()


def test_damage_before_the_place_where_it_went_on_is_found_by_the_digest(volumes, tmp_path: Path, raws):
    """The first worker has read the damaged bytes: they are in the digest that the second one goes on with."""
    location = pack(tmp_path, raws[:1])
    data = bytearray(location.read_bytes())
    data[data.index(b"ddb.toolsVersion") + 20] ^= 1  # of the descriptor in the disk, which nothing else checks
    location.write_bytes(data)
    die(str(location), 2, volumes.path("vmdisk1", 32 << 20))
    with pytest.raises(SourceError, match="SHA256 is"):
        volumes.transfer(str(location), "vmdisk1", size=32 << 20)
    assert not (volumes.base / "vmdisk1" / journal.NAME).exists()
    assert (volumes.base / "vmdisk1" / "disk.img").stat().st_blocks == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server with ranges and validators; the ranges that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            data = (tmp_path / self.path.lstrip("/")).read_bytes()
            asked.append(self.headers["Range"])
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", '"v1"')
            self.end_headers()
            try:
                self.wfile.write(data[start:end])
            except ConnectionError:
                return

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}", asked
    found.shutdown()
    found.server_close()


def test_of_a_url_only_the_rest_is_downloaded(volumes, tmp_path: Path, raws, server):
    path, (url, asked) = pack(tmp_path, raws[:1]), server
    die(f"{url}/m.ova", 6, volumes.path("vmdisk1", 32 << 20))
    asked.clear()
    last = volumes.transfer(f"{url}/m.ova", "vmdisk1", size=32 << 20)
    assert image(volumes, "vmdisk1") == raws[0].read_bytes()
    assert last.disks[0].verified
    long = [r for r in asked if _length(r, path.stat().st_size) > 1 << 20 and not r.startswith("bytes=0-")]
    assert sum(_length(r, path.stat().st_size) for r in long) < last.disks[0].source_size - 3 * (1 << 20)


def _length(wanted: str, size: int) -> int:
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return min(int(last) + 1 if last else size, size) - int(first)


def test_a_worker_that_is_told_to_end_leaves_its_work_to_be_taken_up(tmp_path: Path, raws):
    """As when its Pod stands still and is started anew; whoever gives the import up deletes the volume."""
    path, volume = pack(tmp_path, raws[:1]), tmp_path / "volume"
    volume.mkdir()
    (volume / "disk.img").touch()
    os.truncate(volume / "disk.img", 32 << 20)
    code = DYING.replace("SIGKILL", "SIGTERM").replace("\nTransfer(", f"\n{INTERRUPTIBLE}    Transfer(")
    run = subprocess.run([sys.executable, "-c", code, str(path), "2", str(volume)], capture_output=True, check=False)
    assert b"cancelled before it was done" in run.stderr
    assert (volume / journal.NAME).exists()
