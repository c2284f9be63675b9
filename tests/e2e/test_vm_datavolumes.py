"""DataVolumes and claims on a running platform: every source, CDI's upload protocol, and what stands in the way.

No guest runs here: what is filled is compared with what was given. `test_vm_volumes` boots from such a volume.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.e2e import manifests, webserver
from tests.e2e.platform import ApiError, get_condition, sh, wait_for
from tests.e2e.virtctl import UPLOAD_ASYNC, UPLOAD_SYNC

pytestmark = pytest.mark.e2e
MIB = 1 << 20
SIZE = 24 * MIB


def pattern() -> bytes:
    """A disk with data at both ends and a hole between."""
    return b"\x7f" * MIB + bytes(10 * MIB) + os.urandom(2 * MIB)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """disk.raw in every format."""
    place = tmp_path_factory.mktemp("images")
    (place / "disk.raw").write_bytes(pattern())
    for kind in ("qcow2", "vmdk", "vdi", "vhdx"):
        sh("qemu-img", "convert", "-f", "raw", "-O", kind, str(place / "disk.raw"), str(place / f"disk.{kind}"))
    (place / "disk.raw.gz").write_bytes(gzip.compress((place / "disk.raw").read_bytes(), 1))
    subprocess.run(["xz", "-0", "-k", str(place / "disk.raw")], check=True)
    return place


@pytest.fixture
def web(platform, images):
    with webserver.serve(images) as url:
        yield url


@pytest.fixture
def made(platform):
    """Creates DataVolumes and claims; they are deleted at the end."""
    known = []

    def make(body):
        kind = {"DataVolume": "dv", "PersistentVolumeClaim": "pvc"}[body["kind"]]
        path = platform.path(kind)
        known.append((kind, body["metadata"]["name"]))
        return json.loads(platform.request("POST", path, body))

    yield make
    for kind, name in known:
        platform.delete(kind, name)
    for _, name in known:
        platform.wait_gone("pvc", name)
    wait_for(lambda: not platform.list("pv"), 20)


def disk_of(platform, name) -> Path:
    """Where a claim's disk lies on the node."""
    claim = platform.wait_phase("pvc", name, "Bound", 20)
    volume = platform.get("pv", claim["spec"]["volumeName"])
    return Path(volume["spec"]["local"]["path"]) / "disk.img"


def check(platform, name, images, size=SIZE):
    """The disk has the content, the volume's size, and its holes."""
    disk, wanted = disk_of(platform, name), (images / "disk.raw").read_bytes()
    data = disk.read_bytes()
    assert len(data) == size
    assert data[: len(wanted)] == wanted
    assert not any(data[len(wanted) :])
    assert disk.stat().st_blocks * 512 < 5 * MIB
    assert sorted(p.name for p in disk.parent.iterdir()) == ["disk.img"]


def succeed(platform, name, seconds=40):
    found = platform.wait_phase("dv", name, "Succeeded", seconds)
    assert found["status"]["progress"] == "100.0%"
    assert get_condition(found, "Ready")["status"] == "True"
    assert get_condition(found, "Running")["status"] == "False"
    return found


@pytest.mark.parametrize("file", ["disk.qcow2", "disk.raw.gz", "disk.raw.xz", "disk.vmdk", "disk.vdi", "disk.vhdx"])
def test_an_image_of_any_format_comes_by_http(platform, web, images, made, file):
    name = "http-" + file.replace(".", "-")
    made(manifests.data_volume(name, {"http": {"url": f"{web}/{file}"}}, "24Mi"))
    succeed(platform, name)
    check(platform, name, images)
    heading, row = platform.kubectl("get", "dv", name).splitlines()
    assert heading.split() == ["NAME", "PHASE", "PROGRESS", "RESTARTS", "AGE"]
    assert row.split()[1:3] == ["Succeeded", "100.0%"]
    wait_for(lambda: platform.find("pod", f"importer-{name}") is None, 10)


def test_credentials_and_a_checksum_go_with_the_request_and_a_broken_connection_is_taken_up(
    platform, web, images, made
):
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"},
        "stringData": {"accessKeyId": "user", "secretKey": "secret"},
    }  # fmt: skip
    platform.kubectl("apply", "-f", "-", stdin=secret)
    digest = hashlib.sha256((images / "disk.raw").read_bytes()).hexdigest()
    private = {"url": f"{web}/private/disk.raw", "secretRef": "web", "checksum": f"sha256:{digest}"}
    made(manifests.data_volume("private", {"http": private}, "24Mi"))
    made(manifests.data_volume("flaky", {"http": {"url": f"{web}/flaky/disk.raw"}}, "24Mi"))
    succeed(platform, "private")
    succeed(platform, "flaky", 60)
    check(platform, "private", images)
    check(platform, "flaky", images)


@pytest.mark.parametrize(
    ("name", "http", "size", "said"),
    [
        ("absent", {"url": "/none.raw"}, "24Mi", "404"),
        ("unauthorized", {"url": "/private/disk.raw"}, "24Mi", "401"),
        ("corrupt", {"url": "/disk.raw", "checksum": "sha256:" + "0" * 64}, "24Mi", "sha256"),
        ("toolarge", {"url": "/disk.raw"}, "8Mi", "has room for"),
        ("toolargeqcow", {"url": "/disk.qcow2"}, "8Mi", "has room for"),
    ],
)
def test_what_stands_in_the_way_is_in_the_condition_running(platform, web, made, name, http, size, said):
    made(manifests.data_volume(name, {"http": {**http, "url": web + http["url"]}}, size))

    def told():
        found = platform.get("dv", name)
        return said in (get_condition(found, "Running") or {}).get("message", "") and found

    found = wait_for(told, 30, why=lambda: platform.describe("dv", name))
    assert found["status"]["phase"] != "Succeeded"
    assert not disk_of(platform, name).stat().st_blocks


def test_a_blank_volume_is_there_at_once_and_thin(platform, made):
    made(manifests.data_volume("blank", {"blank": {}}, "10Gi"))
    succeed(platform, "blank", 20)
    disk = wait_for(lambda: (d := disk_of(platform, "blank")).exists() and d, 10)
    assert (disk.stat().st_size, disk.stat().st_blocks) == (10 << 30, 0)


def test_a_clone_has_its_origins_content_and_may_be_larger(platform, web, images, made):
    made(manifests.data_volume("origin", {"http": {"url": f"{web}/disk.raw"}}, "24Mi"))
    succeed(platform, "origin")
    made(manifests.data_volume("clone", {"pvc": {"namespace": "default", "name": "origin"}}, "32Mi"))
    succeed(platform, "clone")
    check(platform, "clone", images, 32 * MIB)
    made(manifests.data_volume("small", {"pvc": {"namespace": "default", "name": "origin"}}, "8Mi"))

    def told():
        return "smaller" in (get_condition(platform.get("dv", "small"), "Running") or {}).get("message", "")

    wait_for(told, 10, why=lambda: platform.describe("dv", "small"))


def test_a_registrys_image_fills_a_volume(platform, made):
    source = {"registry": {"url": f"docker://{manifests.IMAGE.replace(':latest', ':kept')}"}}
    guest = platform.home.root / "registry.tar"
    from tests.guests import tiny

    disk = platform.home.root / "registry.raw"
    disk.write_bytes(b"\x11" * MIB + bytes(MIB))
    tiny.write_container_disk(guest, disk, "isthmus.test/tiny:kept")
    platform.isthmus("image load", str(guest), "--name", "isthmus.test/tiny:kept")
    made(manifests.data_volume("registry", source, "4Mi"))
    succeed(platform, "registry")
    assert disk_of(platform, "registry").read_bytes() == b"\x11" * MIB + bytes(3 * MIB)


def test_a_claim_grows_with_its_disk(platform, made):
    made(manifests.claim("grows", "4Mi"))
    disk = disk_of(platform, "grows")
    platform.patch("pvc", "grows", {"spec": {"resources": {"requests": {"storage": "8Mi"}}}})
    wait_for(lambda: disk.stat().st_size == 8 * MIB, 10)
    wait_for(lambda: platform.get("pvc", "grows")["status"]["capacity"]["storage"] == "8Mi", 10)


# --- upload -----------------------------------------------------------------------------------------------------------


def upload_volume(platform, virtctl, made, name, size="24Mi"):
    made(manifests.data_volume(name, {"upload": {}}, size))
    platform.wait_phase("dv", name, "UploadReady", 20)


@pytest.mark.parametrize("file", ["disk.raw", "disk.qcow2", "disk.raw.gz"])
def test_virtctls_image_upload_fills_a_data_volume(platform, virtctl, images, made, file):
    name = "upload-" + file.replace(".", "-")
    upload_volume(platform, virtctl, made, name)
    with (images / file).open("rb") as data:
        status, text = virtctl.image_upload(name, data, (images / file).stat().st_size)
    assert (status, text) == (200, "")
    succeed(platform, name)
    claim = platform.get("pvc", name)
    assert claim["metadata"]["annotations"]["cdi.kubevirt.io/storage.pod.phase"] == "Succeeded"
    check(platform, name, images)
    with pytest.raises(ApiError) as refused:
        virtctl.upload_token(name)
    assert (refused.value.code, "already" in refused.value.message) == (503, True)


def test_a_bare_claim_takes_an_upload_too(platform, virtctl, images, made):
    made(manifests.claim("bare", "24Mi", **{"cdi.kubevirt.io/storage.upload.target": ""}))
    ready = "cdi.kubevirt.io/storage.pod.ready"
    wait_for(lambda: platform.get("pvc", "bare")["metadata"]["annotations"].get(ready) == "true", 20)
    token = virtctl.upload_token("bare")
    assert virtctl.head(UPLOAD_SYNC, token) == 200
    with (images / "disk.qcow2").open("rb") as data:  # without a length: chunked
        assert virtctl.post(UPLOAD_SYNC, token, data) == (200, "")
    annotations = platform.get("pvc", "bare")["metadata"]["annotations"]
    assert annotations["cdi.kubevirt.io/storage.pod.phase"] == "Succeeded"
    check(platform, "bare", images)


def test_the_upload_proxys_refusals_are_cdis(platform, virtctl, images, made):
    upload_volume(platform, virtctl, made, "refusals", "4Mi")
    made(manifests.claim("plain", "4Mi"))
    token = virtctl.upload_token("refusals")
    assert virtctl.head(UPLOAD_ASYNC, token) == 200
    assert virtctl.head(UPLOAD_ASYNC, token + "x") == 401
    assert virtctl.head(UPLOAD_ASYNC, "") == 400
    assert virtctl.post(UPLOAD_ASYNC, "nonsense", b"x" * MIB)[0] == 401
    assert virtctl.head("/v1beta1/upload-elsewhere", token) in (401, 404)
    for claim, code in (("plain", 503), ("absent", 404)):
        with pytest.raises(ApiError) as refused:
            virtctl.upload_token(claim)
        assert refused.value.code == code
    status, text = virtctl.image_upload("refusals", (images / "disk.raw").open("rb"), 13 * MIB)
    assert (status, "has room for" in text) == (400, True), text
    assert platform.get("dv", "refusals")["status"]["phase"] == "UploadReady"
    status, text = virtctl.image_upload("refusals", b"\x1f\x8bbroken" + bytes(600))
    assert (status, "gzip" in text) == (400, True), text
    disk = disk_of(platform, "refusals")
    assert not disk.stat().st_blocks
    assert [p.name for p in disk.parent.iterdir()] == ["disk.img"]
    assert virtctl.image_upload("refusals", b"\x22" * MIB) == (200, "")
    succeed(platform, "refusals")
    assert disk.read_bytes() == b"\x22" * MIB + bytes(3 * MIB)


def test_an_upload_is_streamed_and_does_not_grow_the_server(platform, virtctl, made):
    upload_volume(platform, virtctl, made, "stream", "1Gi")
    pid = platform.pid("apiserver")

    def resident():
        return int(next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x).split()[1])

    before, peaks = resident(), []
    stop = threading.Event()

    def watch():
        while not stop.wait(0.05):
            peaks.append(resident())

    threading.Thread(target=watch, daemon=True).start()

    class Zeros:
        left = 256 * MIB

        def read(self, size=-1):
            size = min(MIB if size < 0 else size, self.left)
            self.left -= size
            return bytes(size)

    began = time.monotonic()
    assert virtctl.image_upload("stream", Zeros(), 256 * MIB)[0] == 200
    rate = 256 / (time.monotonic() - began)
    stop.set()
    assert max(peaks) - before < 40 * 1024, (before, max(peaks))
    print(f"upload: {rate:.0f} MiB/s, the server grew by {(max(peaks) - before) // 1024} MiB")
    succeed(platform, "stream")
    assert shutil.disk_usage("/tmp").free  # and nothing was allocated:
    assert not disk_of(platform, "stream").stat().st_blocks
