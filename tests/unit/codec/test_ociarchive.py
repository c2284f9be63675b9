import gzip
import hashlib
import io
import json
import tarfile

from isthmus.codec import ociarchive


def build(files):
    out = io.BytesIO()
    members = [ociarchive.Member(name, io.BytesIO(data), len(data), 0o440, 107) for name, data in files.items()]
    digest = ociarchive.write(out, ociarchive.Image("example.test/image:1", {"a": "b"}), members, io.BytesIO())
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        return digest, {member.name: archive.extractfile(member).read() for member in archive}


def test_every_blob_has_the_name_of_its_digest_and_all_are_reachable_from_the_index():
    digest, blobs = build({"disk/disk.img": b"x" * 5000})
    for name, data in blobs.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    index = json.loads(blobs["index.json"])
    assert index["manifests"][0]["digest"] == digest
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "example.test/image:1"
    manifest = json.loads(blobs["blobs/sha256/" + digest.removeprefix("sha256:")])
    for descriptor in (manifest["config"], *manifest["layers"]):
        assert len(blobs["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]) == descriptor["size"]


def test_the_layer_holds_the_files_with_owner_and_mode_and_its_diff_id_is_that_of_the_tar():
    digest, blobs = build({"boot/vmlinuz": b"kernel", "boot/initrd": b""})
    manifest = json.loads(blobs["blobs/sha256/" + digest.removeprefix("sha256:")])
    layer = gzip.decompress(blobs["blobs/sha256/" + manifest["layers"][0]["digest"].removeprefix("sha256:")])
    config = json.loads(blobs["blobs/sha256/" + manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getnames() == ["boot", "boot/vmlinuz", "boot/initrd"]
        assert tar.extractfile("boot/vmlinuz").read() == b"kernel"
        info = tar.getmember("boot/vmlinuz")
        assert (info.mode, info.uid, info.gid) == (0o440, 107, 107)
