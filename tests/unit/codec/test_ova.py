"""The tar reader of OVAs, against Python's own tarfile, and against archives made to harm."""

import io
import tarfile
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.codec import manifest, ova
from isthmus.codec.malformed import MalformedError


def members(data: bytes, limits: ova.Limits | None = None) -> list[ova.Member]:
    reader = ova.MemberReader(limits)
    found = []
    while not reader.ended:
        if member := reader.receive(data[reader.offset : reader.offset + reader.wanted]):
            found.append(member)
    return found


def pack(files: Sequence[tuple[str, bytes]], form: int = tarfile.USTAR_FORMAT, **fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


NAMES = st.text(st.characters(blacklist_categories=["C", "Z"], blacklist_characters="/\\"), min_size=1, max_size=120)


@settings(max_examples=80)
@given(
    files=st.dictionaries(
        NAMES.filter(lambda n: n not in (".", "..") and len(n) < 250), st.binary(max_size=2000), min_size=1
    ),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_members_are_found_where_tarfile_put_them(files: dict[str, bytes], form: int):
    data = pack(list(files.items()), form)
    found = {member.name: data[member.offset : member.offset + member.size] for member in members(data)}
    assert found == files


def test_names_may_begin_with_the_current_folder_and_the_folder_itself_is_passed_over():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        info = tarfile.TarInfo("./a.ovf")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"hi"))
    assert [member.name for member in members(out.getvalue())] == ["a.ovf"]


def test_sizes_beyond_eight_gibibytes_are_understood():
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        info = tarfile.TarInfo("big.vmdk")
        info.size = 20 << 30
        data = info.tobuf(form)
        reader = ova.MemberReader()
        member = None
        while member is None:
            member = reader.receive(data[reader.offset : reader.offset + reader.wanted])
        assert member == ova.Member("big.vmdk", len(data), 20 << 30)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/b.vmdk", "..", "a\\b", "a\nb", "a\x00b"[:1] + "\x07"]
)
def test_names_that_lead_elsewhere_are_refused(name: str):
    with pytest.raises(MalformedError, match="not a plain file name"):
        members(pack([("ok.ovf", b"x"), (name, b"x")], tarfile.PAX_FORMAT))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.DIRTYPE, "a folder"),
    ],
)
def test_only_plain_files_are_allowed(kind: bytes, what: str):
    with pytest.raises(MalformedError, match=f"is {what}, not a file") as caught:
        members(pack([("a.ovf", b"x" * 600)])[:1536] + pack([("evil", b"")], type=kind, linkname="/etc/shadow"))
    assert caught.value.offset == 1536


def test_a_name_that_comes_twice_is_refused():
    with pytest.raises(MalformedError, match="is in the archive twice"):
        members(pack([("a.vmdk", b"1"), ("a.vmdk", b"2")]))


def test_a_damaged_header_names_its_offset():
    data = bytearray(pack([("a.ovf", b"x"), ("b.vmdk", b"y")]))
    data[1024 + 3] ^= 1
    with pytest.raises(MalformedError, match="checksum is wrong") as caught:
        members(bytes(data))
    assert caught.value.offset == 1024


def test_a_cut_header_is_told():
    with pytest.raises(MalformedError, match="cut off") as caught:
        members(pack([("a.ovf", b"x")])[:100])
    assert caught.value.offset == 100


def test_an_archive_may_lack_its_end_blocks():
    assert len(members(pack([("a.ovf", b"x")])[:1024])) == 1


def test_limits_hold():
    with pytest.raises(MalformedError, match="more than 3 files"):
        members(pack([(f"f{i}", b"") for i in range(5)]), ova.Limits(members=3))
    with pytest.raises(MalformedError, match="more than the 10 allowed"):
        members(pack([("a", b"x" * 11)]), ova.Limits(member=10))
    with pytest.raises(MalformedError, match="extended tar header of"):
        members(pack([("n" * 2000, b"")], tarfile.GNU_FORMAT), ova.Limits(extended=1000))


SHA256 = "a" * 64


def test_a_manifest_gives_digests_by_name_in_all_spellings():
    text = f"SHA256(a b.ovf)= {SHA256}\r\nSHA1(x.vmdk)={'B' * 40}\n\nSHA-512 (c(1).vmdk) = {'c' * 128}\n"
    assert manifest.parse(text.encode()) == {
        "a b.ovf": manifest.Digest("sha256", SHA256),
        "x.vmdk": manifest.Digest("sha1", "b" * 40),
        "c(1).vmdk": manifest.Digest("sha512", "c" * 128),
    }


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        (f"SHA256(a)= {SHA256}\nnonsense\n", "not of the form", 76),
        ("MD5(a)= 00112233445566778899aabbccddeeff\n", "MD5 is not known", 0),
        ("SHA256(a)= abcd\n", "has 4 hex digits, not 64", 0),
        (f"SHA256(a)= {SHA256}\nSHA256(a)= {'b' * 64}\n", "two different digests", 76),
    ],
)
def test_a_wrong_manifest_names_the_line(text: str, message: str, offset: int):
    with pytest.raises(MalformedError, match=message) as caught:
        manifest.parse(text.encode())
    assert caught.value.offset == offset
