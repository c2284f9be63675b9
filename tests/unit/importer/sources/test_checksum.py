"""A checksum of the whole source, whatever way it is read."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from tests.vmware import disks, make_ova, ovf

from isthmus.importer.sources import opening, streams
from isthmus.importer.sources.checked import parse_checksum
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.worker.progress import JsonLines
from isthmus.importer.worker.transfer import Assignment, Transfer


@pytest.fixture
def ova(tmp_path: Path) -> Path:
    raw = disks.make(tmp_path / "raw", size=4 << 20)
    make_ova.make_ova(tmp_path / "m.ova", ovf.Machine("m", ()), [raw])
    return tmp_path / "m.ova"


def checksum(path: Path, algorithm: str) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, path.read_bytes()).hexdigest()}"


def transfer(package: opening.Package, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    try:
        Transfer(package, package.envelope.machine().disks, [Assignment("vmdisk1", "v", folder)], JsonLines()).run()
    finally:
        package.close()


def open_pipe(path: Path, digest: str) -> opening.Package:
    read, write = os.pipe()
    subprocess.Popen(["cat", path], stdout=write)
    os.close(write)
    return opening.open_stream("upload", streams.Pipe(read), parse_checksum(digest))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_right_checksum_passes_and_a_wrong_one_leaves_nothing(ova: Path, tmp_path: Path, algorithm: str):
    right = checksum(ova, algorithm)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    for open_it in (open_pipe, lambda path, digest: opening.open_package(str(path), parse_checksum(digest))):
        transfer(open_it(ova, right), tmp_path / "v")
        assert (tmp_path / "v" / "disk.img").read_bytes() == (tmp_path / "raw").read_bytes()
        (tmp_path / "v" / "disk.img").unlink()
        with pytest.raises(SourceError, match="is not the file you meant"):
            transfer(open_it(ova, wrong), tmp_path / "v")
        assert list((tmp_path / "v").iterdir()) == []


@pytest.mark.parametrize("text", ["", "sha256", "sha256:", "md5:abc", "abc"])
def test_what_is_no_checksum_is_refused(text: str):
    with pytest.raises(ValueError, match="is no checksum"):
        parse_checksum(text)
