import subprocess

from isthmus.codec import cpio


def test_an_archive_unpacks_with_cpio_to_the_same_tree(tmp_path):
    data = cpio.archive([cpio.file("a/b/run", b"#!/bin/sh\n", executable=True), cpio.symlink("a/link", "b/run")])
    subprocess.run(["cpio", "-i", "--quiet", "--no-absolute-filenames"], input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "a/b/run").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "a/b/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a/link").readlink().as_posix() == "b/run"


def test_equal_input_gives_equal_bytes_padded_to_sectors():
    one, two = (cpio.archive([cpio.file("x", b"abc")]) for _ in range(2))
    assert one == two
    assert len(one) % 512 == 0


def test_parents_come_once_and_before_their_children():
    data = cpio.archive([cpio.file("d/one", b""), cpio.file("d/two", b"")])
    assert data.count(b"d\0") == 1
    assert data.index(b"d\0") < data.index(b"d/one\0")
