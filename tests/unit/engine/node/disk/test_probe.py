"""Images of strangers. Those that qemu-img makes are looked at too: they are what a header really looks like."""

import contextlib
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.node.disk import probe
from isthmus.engine.node.disk.probe import ImageRefusedError


def header(version=3, backing=0, cluster_bits=16, size=1 << 20, encryption=0, features=0):
    start = probe.HEADER.pack(b"QFI\xfb", version, backing, 10, cluster_bits, size, encryption, 1, 0, 0, 1, 0, 0)
    return (start + struct.pack(">Q", features)).ljust(112, b"\0")


def test_a_sound_header_is_qcow2():
    assert probe.find_format(header(), "x") == "qcow2"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"backing": 200}, "backing file"),
        ({"features": 1 << 2}, "data in another file"),
        ({"features": 1 << 40}, "unknown"),
        ({"encryption": 2}, "encrypted"),
        ({"version": 1}, "version"),
        ({"cluster_bits": 60}, "cluster size"),
        ({"size": 1 << 60}, "bytes"),
    ],
)
def test_a_header_that_reaches_out_or_lies_is_refused(fields, why):
    with pytest.raises(ImageRefusedError, match=why):
        probe.find_format(header(**fields), "x")


@given(st.binary(max_size=200))
def test_any_bytes_are_raw_or_refused(data):
    with contextlib.suppress(ImageRefusedError):
        assert probe.find_format(data, "x") in ("raw", "qcow2")


@given(st.binary(min_size=108, max_size=108))
def test_any_qcow2_header_is_taken_or_refused(rest):
    with contextlib.suppress(ImageRefusedError):
        probe.find_format(b"QFI\xfb" + rest, "x")


@pytest.mark.parametrize("magic", list(probe.FOREIGN))
def test_other_formats_are_named(magic):
    with pytest.raises(ImageRefusedError, match="must be raw or qcow2"):
        probe.find_format(magic.ljust(512, b"\0"), "x")


def test_an_image_whose_backing_file_is_of_the_host_is_refused(tmp_path):
    target = tmp_path / "evil.qcow2"
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", target, "1M"]
    subprocess.run(argv, check=True)
    with pytest.raises(ImageRefusedError, match="backing file"):
        probe.look_at(target, trusted_raw=False)


def test_an_ordinary_qcow2_is_taken(tmp_path):
    target = tmp_path / "good.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", target, "1M"], check=True)
    assert probe.look_at(target, trusted_raw=False).format == "qcow2"


def test_a_trusted_disk_is_raw_whatever_a_guest_wrote_on_it(tmp_path):
    target = tmp_path / "disk.img"
    target.write_bytes(header(backing=200))
    assert probe.look_at(target).format == "raw"


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_is_no_disk_is_refused(tmp_path, name):
    with pytest.raises(ImageRefusedError):
        probe.look_at(tmp_path / name)
