"""What `isthmus import` makes of its arguments, sends, and shows."""

import hashlib
import io
import tarfile

import click
import pytest

from isthmus.cli import following, imports, progress, uploads


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("VM Network=pod", {"pod": {}}),
        ("VM Network=default/lan", {"multus": {"networkName": "default/lan"}}),
        ("VM Network=", {}),
    ],
)
def test_a_network_becomes_the_pods_a_definition_or_nothing(text, target):
    assert imports.parse_network(text) == {"source": "VM Network", "target": target}


@pytest.mark.parametrize("text", ["lan", "=lan", ""])
def test_a_network_without_a_source_is_refused_with_an_example(text):
    with pytest.raises(click.ClickException, match="expected SOURCE=TARGET"):
        imports.parse_network(text)


def make_folder(folder, *, size=1000):
    (folder / "erp-disk1.vmdk").write_bytes(b"d" * size)
    (folder / "erp.mf").write_text("SHA256(erp.ovf)= 00\n")
    (folder / "erp.ovf").write_text("<Envelope/>")
    return folder


def test_a_folder_is_sent_as_an_ova_with_the_descriptor_first(tmp_path):
    payload = uploads.find_payload(make_folder(tmp_path))
    data = b"".join(payload.chunks())
    assert payload.name == "erp.ova"
    assert len(data) == payload.size
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["erp.ovf", "erp.mf", "erp-disk1.vmdk"]
        assert archive.extractfile("erp-disk1.vmdk").read() == b"d" * 1000


def test_a_file_is_sent_as_it_is(tmp_path):
    path = tmp_path / "erp.ova"
    path.write_bytes(bytes(range(256)) * 5000)
    payload = uploads.find_payload(path)
    digest = hashlib.sha256()
    for chunk in payload.chunks():
        digest.update(chunk)
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()
    assert payload.size == path.stat().st_size


def test_a_folder_with_two_descriptors_asks_for_one(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "other.ovf").write_text("<Envelope/>")
    with pytest.raises(click.ClickException, match=r"2 \.ovf files"):
        uploads.find_payload(tmp_path)


def test_a_file_that_shrinks_while_it_is_sent_is_noticed(tmp_path):
    path = tmp_path / "erp.ova"
    path.write_bytes(b"x" * 100)
    payload = uploads.find_payload(path)
    path.write_bytes(b"x" * 50)
    with pytest.raises(click.ClickException, match="became shorter"):
        list(payload.chunks())


def test_the_line_names_share_bytes_rate_and_time_left_within_eighty_columns():
    text = progress.describe(120e6, 300e6, 85e6, 2.1)
    assert text == "[####------]  40%  120 of 300 MB  85 MB/s  2 s left"
    widest = progress.describe(999.9e9, 1.23e12, 123.4e6, 35_000)
    assert widest == "[########--]  81%  1 of 1.23 TB  123 MB/s  9 h 43 min left"
    assert len(f"| Transferring  {widest}") < 80


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_durations_are_written_for_people(seconds, text):
    assert progress.duration(seconds) == text


def test_a_phase_without_bytes_shows_its_message():
    assert following.describe({"message": "Booting", "progress": {"summary": "x"}}) == "Booting"


def test_the_summary_of_a_conversion_says_who_did_it():
    told = {"conversion": {"os": "Debian 12", "converter": "Isthmus", "changes": ["a", "b"]}}
    assert following.summarise("Converting", told) == "Debian 12 by Isthmus: 2 changes"
    assert "SATA" in following.summarise("Converting", {"conversion": {"converter": "Compatibility"}})


def test_concerns_are_shown_when_the_source_was_inspected_and_warnings_when_the_guest_was_converted():
    concern = {"id": "vmware.tpm.detected", "category": "Warning", "label": "TPM", "assessment": "It gets a new one."}
    status = {"source": {"concerns": [concern]}, "conversion": {"warnings": ["no virtio_net"]}}
    assert following.notes("Inspecting", status) == ["Warning: TPM. It gets a new one."]
    assert following.notes("Converting", status) == ["Note: no virtio_net"]
    assert following.notes("Transferring", status) == []
