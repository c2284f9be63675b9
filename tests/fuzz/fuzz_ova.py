"""Fuzz the tar reader and the manifest parser: only MalformedError, only plain names, only members that were there."""

import io
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("src", "")]

from tests.fuzz import mutate

from isthmus.codec import manifest, ova
from isthmus.codec.malformed import MalformedError


def target(data: bytes) -> None:
    with suppress(MalformedError):
        read_members(data)
    with suppress(MalformedError):
        manifest.parse(data)


def read_members(data: bytes) -> None:
    reader = ova.MemberReader()
    while not reader.ended:
        before = reader.offset
        member = reader.receive(data[reader.offset : reader.offset + reader.wanted])
        assert reader.offset > before or reader.ended
        if member:
            assert "/" not in member.name
            assert member.name not in ("", ".", "..")
            assert member.size >= 0


def seeds() -> list[bytes]:
    """Archives of every format, and a manifest. Mutations of a header are given a right checksum half of the time."""
    found = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name in ("m.ovf", "m.mf", "d" * 90 + ("" if form == tarfile.USTAR_FORMAT else "d" * 90)):
                info = tarfile.TarInfo(name)
                info.size = 700
                archive.addfile(info, io.BytesIO(bytes(700)))
        found.append(out.getvalue())
    return [*found, f"SHA256(m.ovf)= {'a' * 64}\nSHA1(d.vmdk)= {'b' * 40}\n".encode()]


def resealed(data: bytes) -> bytes:
    """Every header's checksum made right, so that what is behind it is reached."""
    out = bytearray(data)
    for at in range(0, len(out) - 511, 512):
        if any(out[at : at + 100]) and out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def both(data: bytes) -> None:
    """As it is, and resealed."""
    target(data)
    target(resealed(data))


if __name__ == "__main__":
    mutate.main(both, seeds())
