import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.importer.appliance import build, elf


def module(depends: str, *more: bytes) -> bytes:
    return b"\0".join([b"\x7fELF", b"depends=" + depends.encode(), *more, b""])


def test_modules_come_after_what_they_need():
    modules = {
        "virtio_pci": module("virtio,virtio_ring"),
        "virtio": module(""),
        "virtio_ring": module("virtio"),
        "btrfs": module("xor", b"softdep=pre: blake2b-256 sha256"),
        "xor": module(""),
        "sha256": module(""),
    }
    order = dict(build.module_order(modules, ("virtio_pci", "btrfs", "ext4")))
    assert order == {"virtio_pci": ["virtio", "virtio_ring"], "btrfs": ["xor", "sha256"]}


def test_the_libraries_of_a_program_here_are_found():
    program = Path(shutil.which("ls") or sys.executable).resolve()
    found = elf.links(program.read_bytes())
    assert found.interpreter
    assert "libc.so.6" in found.needed


@given(st.binary(max_size=200))
def test_what_is_no_elf_file_is_refused(data):
    with pytest.raises(elf.ElfError):
        elf.links(data)


@given(st.binary(min_size=58, max_size=300))
def test_a_cut_elf_file_is_refused_or_read_as_needing_nothing(data):
    try:
        elf.links(b"\x7fELF\x02\x01" + data)
    except elf.ElfError:
        return


def test_a_missing_library_is_named(tmp_path):
    with pytest.raises(elf.ElfError, match=r"libc\.so\.6|ld-linux"):
        list(elf.closure(tmp_path, Path(shutil.which("ls") or sys.executable).resolve()))
