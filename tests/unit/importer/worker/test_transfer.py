"""Packages in every form into volumes: the same bytes, holes kept, digests checked; and what is refused."""

import gzip
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.vmware import disks, make_ova, ovf, vmdk

from isthmus.importer.sources import opening, streams
from isthmus.importer.sources.errors import SourceError
from isthmus.importer.worker.transfer import Assignment, Transfer


def equal(volumes, name: str, raw: Path) -> bool:
    """The raw disk, then zeros to the volume's size."""
    content, expected = volumes.content(name), raw.read_bytes()
    return content[: len(expected)] == expected and not any(content[len(expected) :])


@pytest.mark.parametrize("form", ["ova", "descriptor", "folder"])
def test_both_disks_arrive_from_every_form_of_package(export, volumes, form: str):
    last = volumes.transfer(str(getattr(export, form)), "vmdisk1", "vmdisk2")
    assert equal(volumes, "vmdisk1", export.raws[0])
    assert equal(volumes, "vmdisk2", export.raws[1])
    assert last.phase == "Succeeded"
    assert last.percent == 100
    assert [disk.verified for disk in last.disks] == [True, True]
    assert [disk.capacity for disk in last.disks] == [raw.stat().st_size for raw in export.raws]


def test_a_pipe_is_read_once(export, volumes):
    read, write = os.pipe()
    with subprocess.Popen(["cat", export.ova], stdout=write), os.fdopen(read, "rb") as pipe:
        os.close(write)
        package = opening.open_stream("upload", streams.Pipe(pipe.fileno()))
        wanted = [Assignment(disk, disk, volumes.path(disk)) for disk in ("vmdisk2", "vmdisk1")]
        last = Transfer(package, package.envelope.machine().disks, wanted, volumes.audience).run()
    assert equal(volumes, "vmdisk1", export.raws[0])
    assert equal(volumes, "vmdisk2", export.raws[1])
    assert all(disk.verified for disk in last.disks)


def test_holes_stay_holes_and_written_zeros_become_holes(export, volumes):
    volumes.transfer(str(export.ova), "vmdisk1")
    used = (volumes.base / "vmdisk1" / "disk.img").stat().st_blocks * 512
    data = sum(len(grain) for _, grain in vmdk.find_grains(export.raws[0]))
    assert 0 < used <= data + (64 << 10)


def test_a_volume_without_an_image_gets_one_of_the_disks_size(export, volumes):
    volumes.transfer(str(export.ova), "vmdisk1", size=None)
    assert volumes.content("vmdisk1") == export.raws[0].read_bytes()


def test_what_was_in_the_volume_before_is_gone(export, volumes):
    (volumes.path("vmdisk1") / "disk.img").write_bytes(b"\xff" * (16 << 20))
    volumes.transfer(str(export.ova), "vmdisk1")
    assert equal(volumes, "vmdisk1", export.raws[0])


def test_the_source_is_not_written(export, volumes):
    before = export.ova.stat()
    export.ova.chmod(0o400)
    volumes.transfer(str(export.ova), "vmdisk1")
    export.ova.chmod(0o600)
    after = export.ova.stat()
    assert (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino)


@pytest.mark.parametrize(
    "write",
    [
        lambda raw, folder: vmdk.write_flat(raw, folder, "d"),
        lambda raw, folder: vmdk.write_split(raw, folder, "d", flat=True, extent_size=3 << 20),
        lambda raw, folder: vmdk.write_split(raw, folder, "d", flat=False, extent_size=3 << 20),
        lambda raw, folder: vmdk.write_split(raw, folder, "d", flat=False, extent_size=(3 << 20) + 512),
    ],
    ids=["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse", "extents that end within a page"],
)
def test_a_bare_disk_in_several_files_arrives(volumes, tmp_path: Path, write):
    raw = disks.make(tmp_path / "raw", size=(9 << 20) + 1536)
    volumes.transfer(str(write(raw, tmp_path)), "disk-1")
    assert equal(volumes, "disk-1", raw)


@pytest.mark.parametrize("written_by", ["generator", "qemu-img sparse", "qemu-img streamOptimized"])
def test_a_bare_disk_in_one_file_arrives(volumes, tmp_path: Path, written_by: str):
    raw, path = disks.make(tmp_path / "raw", size=(9 << 20) + 1536), tmp_path / "d.vmdk"
    if written_by == "generator":
        with path.open("wb") as out:
            vmdk.write_sparse(raw, out, extent=path.name, order=lambda found: found[::-1])
    else:
        kind = "streamOptimized" if "stream" in written_by else "monolithicSparse"
        subprocess.run(
            ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", raw, path], check=True
        )
    volumes.transfer(str(path), "disk-1")
    assert equal(volumes, "disk-1", raw)


def repack(export, folder: Path, change) -> Path:
    """The OVA again, after `change` was done to its files, with a manifest that is right unless `change` made one."""
    shutil.copytree(export.folder, folder)
    (folder / "legacy.mf").unlink()
    change(folder)
    out = folder.parent / "changed.ova"
    make_ova.pack(out, [folder / name for name in make_ova.order(folder)])
    return out


def test_gzip_and_chunks_are_undone_on_the_way(export, volumes, tmp_path: Path):
    def change(folder: Path) -> None:
        disk = folder / "legacy-disk1.vmdk"
        data = gzip.compress(disk.read_bytes(), 1)
        chunk = len(data) // 3 + 1
        for number in range(3):
            (folder / f"{disk.name}.{number:09d}").write_bytes(data[number * chunk : (number + 1) * chunk])
        disk.unlink()
        text = (folder / "legacy.ovf").read_text()
        old = text[text.index('ovf:href="legacy-disk1') : text.index("/>", text.index('ovf:href="legacy-disk1'))]
        new = f'ovf:href="{disk.name}" ovf:id="file1" ovf:size="{len(data)}" '
        new += f'ovf:compression="gzip" ovf:chunkSize="{chunk}"'
        (folder / "legacy.ovf").write_text(text.replace(old, new))

    path = repack(export, tmp_path / "p", change)
    for location in (path, tmp_path / "p" / "legacy.ovf"):
        volumes.transfer(str(location), "vmdisk1")
        assert equal(volumes, "vmdisk1", export.raws[0])


@pytest.mark.parametrize("algorithm", ["sha1", "sha512"])
def test_other_digests_are_checked_too(export, volumes, tmp_path: Path, algorithm: str):
    machine = ovf.Machine("m", ())
    make_ova.make_ova(tmp_path / "m.ova", machine, export.raws[:1], digest=algorithm)
    last = volumes.transfer(str(tmp_path / "m.ova"), "vmdisk1")
    assert last.disks[0].digest.startswith(algorithm)
    assert last.disks[0].verified


def test_a_package_without_manifest_is_taken_but_not_called_verified(export, volumes, tmp_path: Path):
    path = repack(export, tmp_path / "p", lambda folder: None)
    last = volumes.transfer(str(path), "vmdisk1")
    assert not last.disks[0].verified
    assert last.disks[0].digest.startswith("sha256:")


def test_an_empty_disk_becomes_an_empty_volume_of_its_capacity(export, volumes):
    package = opening.open_package(str(export.ova))
    disk = replace(package.envelope.machine().disks[0], file=None)
    Transfer(package, [disk], [Assignment(disk.id, "v", volumes.path("v", None))], volumes.audience).run()
    assert volumes.content("v") == bytes(export.raws[0].stat().st_size)


def test_a_capacity_in_the_descriptor_that_is_smaller_than_the_disk_cuts_nothing(export, volumes, tmp_path: Path):
    capacity = export.raws[0].stat().st_size

    def change(folder: Path) -> None:
        text = (folder / "legacy.ovf").read_text()
        (folder / "legacy.ovf").write_text(text.replace(f'capacity="{capacity}"', 'capacity="1048576"'))

    last = volumes.transfer(str(repack(export, tmp_path / "p", change)), "vmdisk1")
    assert equal(volumes, "vmdisk1", export.raws[0])
    assert last.disks[0].capacity == capacity


def test_gnu_and_pax_archives_are_read_as_well(export, volumes, tmp_path: Path):
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = tmp_path / "legacy.ova"
        make_ova.pack(out, [export.folder / n for n in make_ova.order(export.folder)], tar_format=form)
        volumes.transfer(str(out), "vmdisk1")
        assert equal(volumes, "vmdisk1", export.raws[0])


def test_a_disk_that_is_not_there_is_named_with_those_that_are(export, volumes):
    with pytest.raises(SourceError, match=r"no disk 'nope' \(it has: vmdisk1, vmdisk2\)"):
        volumes.transfer(str(export.ova), "nope")


def test_a_disk_larger_than_its_volume_is_refused_before_anything_is_written(export, volumes):
    with pytest.raises(SourceError, match="but its volume only 1048576"):
        volumes.transfer(str(export.ova), "vmdisk1", size=1 << 20)
    assert (volumes.base / "vmdisk1" / "disk.img").stat().st_blocks == 0
