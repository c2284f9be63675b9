"""Images are read back by a reader of our own that knows nothing of the writer, and by bsdtar where it is installed."""

import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.codec import iso9660

SECTOR = 2048
names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30
)
names = names.filter(lambda name: name not in (".", ".."))


def read_tree(image, extent, size, name_of, prefix=""):
    files, offset = {}, 0
    data = image[extent * SECTOR : extent * SECTOR + size]
    while offset < size:
        length = data[offset]
        if length == 0:
            offset = (offset // SECTOR + 1) * SECTOR
            continue
        record = data[offset : offset + length]
        offset += length
        identifier = record[33 : 33 + record[32]]
        if identifier in (b"\0", b"\x01"):
            continue
        where, amount = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
        path = prefix + name_of(record, identifier)
        if record[25] & 2:
            files |= read_tree(image, where, amount, name_of, path + "/")
        else:
            files[path] = image[where * SECTOR : where * SECTOR + amount]
    return files


def rock_ridge_name(record, identifier):
    fields = record[33 + len(identifier) + (1 - len(identifier) % 2) :]
    while len(fields) >= 4:
        if fields[:2] == b"NM":
            return fields[5 : fields[2]].decode()
        fields = fields[fields[2] :]
    raise AssertionError("no NM field")


def read_image(image, sector, name_of):
    descriptor = image[sector * SECTOR : (sector + 1) * SECTOR]
    assert descriptor[1:6] == b"CD001"
    root = descriptor[156:190]
    return read_tree(image, struct.unpack_from("<I", root, 2)[0], struct.unpack_from("<I", root, 10)[0], name_of)


@given(st.dictionaries(names, st.binary(max_size=5000), max_size=12))
def test_what_is_written_is_read_back_by_rock_ridge_names(files):
    image = iso9660.build_image(files, "cidata")
    assert read_image(image, 16, rock_ridge_name) == files


@given(
    st.dictionaries(
        st.text("abcXYZ019-._", min_size=1, max_size=30).filter(lambda n: n.strip(".")),
        st.binary(max_size=100),
        max_size=8,
    )
)
def test_what_is_written_is_read_back_by_joliet_names(files):
    image = iso9660.build_image(files, "cidata")
    assert read_image(image, 17, lambda _, identifier: identifier.decode("utf-16-be")) == files


def test_directories_are_made_for_paths():
    files = {"openstack/latest/user_data": b"a", "openstack/latest/meta_data.json": b"{}", "top": b""}
    assert read_image(iso9660.build_image(files, "config-2"), 16, rock_ridge_name) == files


def test_two_hundred_files_span_several_sectors_of_a_directory():
    files = {f"key-number-{n}.conf": str(n).encode() for n in range(200)}
    assert read_image(iso9660.build_image(files, "cfgdata"), 16, rock_ridge_name) == files


def test_the_label_is_where_blkid_looks():
    assert iso9660.build_image({}, "cidata")[16 * SECTOR + 40 :].startswith(b"cidata ")


def test_the_image_says_its_own_size():
    image = iso9660.build_image({"a": b"x" * 5000}, "cidata")
    assert struct.unpack_from("<I", image, 16 * SECTOR + 80)[0] * SECTOR == len(image)


def test_the_same_files_give_the_same_bytes():
    files = {"b": b"1", "a": b"2"}
    assert iso9660.build_image(files, "x") == iso9660.build_image(dict(reversed(files.items())), "x")


@pytest.mark.parametrize("path", ["", "a//b", "../x", "a/..", "x" * 151, "a/b/c/d/e/f/g/h/i", "nul\0"])
def test_a_path_that_cannot_be_is_refused(path):
    with pytest.raises(iso9660.Iso9660Error):
        iso9660.build_image({path: b""}, "cidata")


def test_a_name_that_is_both_file_and_directory_is_refused():
    with pytest.raises(iso9660.Iso9660Error):
        iso9660.build_image({"a": b"", "a/b": b""}, "cidata")


def test_bsdtar_reads_it(tmp_path):
    path = tmp_path / "x.iso"
    path.write_bytes(iso9660.build_image({"user-data": b"#cloud-config\n", "d/e": b"f"}, "cidata"))
    listed = subprocess.run(["bsdtar", "-tf", path], capture_output=True, text=True, check=True).stdout.split()
    assert {"user-data", "d/e"} <= set(listed)
    content = subprocess.run(["bsdtar", "-xOf", path, "user-data"], capture_output=True, check=True).stdout
    assert content == b"#cloud-config\n"
