"""`isthmus import` over a real platform: every kind of source, what becomes of the guest, and what is refused.

Where only the way of the bytes is looked at, disks are small and hold no guest, so that nothing boots. Two tests boot:
a legacy Debian that our converter knows, and a guest that nobody knows.
"""

import asyncio
import base64
import filecmp
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.imports import Imports, served
from tests.e2e.platform import BIN, Platform, wait_for
from tests.guests import legacy, tiny
from tests.unit.importer.worker.test_hostile import CORPUS, build
from tests.vmware import disks, make_ova, makers, ovf, vmdk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
PLAIN = ("--converter", "None", "--no-prove")
CARDS = (ovf.Card("VM Network", "00:50:56:01:02:03", slot=192), ovf.Card("Storage", "00:50:56:01:02:04", slot=224))


class Export:
    """A machine of two small disks without a guest, as folder and as OVA."""

    def __init__(self, base: Path) -> None:
        self.raws = [disks.make(base / f"{i}.raw", size=(9 << 20) * i + 1536, seed=i) for i in (1, 2)]
        self.folder = base / "folder"
        self.folder.mkdir()
        make_ova.make_folder(self.folder, ovf.Machine("legacy", (), CARDS), self.raws)
        self.ova = base / "legacy.ova"
        make_ova.pack(self.ova, [self.folder / name for name in make_ova.order(self.folder)])


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return Export(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def imports(platform: Platform) -> Iterator[Imports]:
    found = Imports(platform)
    yield found
    found.clean_up()


def assert_disks(imports: Imports, name: str, raws: list[Path]) -> None:
    """Every disk is what it was, with its holes."""
    for disk, raw in zip(imports.status(name)["disks"], raws, strict=True):
        image, size = imports.disk(disk["claimName"]), raw.stat().st_size
        with image.open("rb") as ours, raw.open("rb") as theirs:
            while data := theirs.read(1 << 20):
                assert ours.read(len(data)) == data
            assert not ours.read().strip(b"\0")
        assert image.stat().st_blocks * 512 <= size, "holes were filled"


def test_an_ova_by_its_path_becomes_a_vm_with_its_disks_and_cards(imports, export):
    before = hashlib.sha256(export.ova.read_bytes()).hexdigest(), export.ova.stat().st_mtime_ns
    ended = imports.command(str(export.ova), "--name", "two", "--network", "Storage=", *PLAIN)
    assert ended.code == 0, ended
    assert "checksums agree" in ended.output
    assert imports.platform.get("vm", "two")["spec"]["preference"]["name"] == "debian"
    assert (hashlib.sha256(export.ova.read_bytes()).hexdigest(), export.ova.stat().st_mtime_ns) == before
    assert_disks(imports, ended.name, export.raws)
    status = imports.status(ended.name)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True", "Transferred": "True", "Converted": "False", "Proven": "False",
    }  # fmt: skip
    vm = imports.platform.get("vm", "two")
    template = vm["spec"]["template"]
    assert vm["spec"]["runStrategy"] == "Halted"
    assert [d["bootOrder"] for d in template["spec"]["domain"]["devices"]["disks"]] == [1, 2]
    assert [i["macAddress"] for i in template["spec"]["domain"]["devices"]["interfaces"]] == ["00:50:56:01:02:03"]
    assert json.loads(template["metadata"]["annotations"]["isthmus.dev/nic-acpi-slot"]) == {"nic-1": 192}


def test_the_vm_and_its_disks_stay_when_the_import_is_deleted_and_go_together(imports, export):
    ended = imports.command(str(export.ova), "--name", "stays", *PLAIN)
    claims = [d["claimName"] for d in imports.status(ended.name)["disks"]]
    imports.platform.delete("vmimport", ended.name, propagationPolicy="Foreground")
    imports.platform.wait_gone("vmimport", ended.name)
    time.sleep(1)
    assert imports.platform.find("vm", "stays")
    assert all(imports.platform.find("pvc", claim) for claim in claims)
    imports.platform.delete("vm", "stays")
    for claim in claims:
        imports.platform.wait_gone("pvc", claim)


def test_what_is_of_concern_is_told_before_the_disks_are_copied(imports, export):
    ended = imports.command(str(export.ova), "--name", "concerned", *PLAIN)
    assert ended.code == 0, ended
    lines = ended.output.splitlines()
    concern = next(n for n, line in enumerate(lines) if "Warning: Network without a counterpart." in line)
    assert "Storage" in lines[concern]
    assert concern < next(n for n, line in enumerate(lines) if line.strip().startswith("Transferring"))
    told = imports.status(ended.name)["source"]["concerns"][0]
    assert (told["id"], told["category"]) == ("isthmus.network.unmapped", "Warning")


def test_an_ovf_folder_by_its_path(imports, export):
    ended = imports.command(str(export.folder), "--name", "folder", "--network", "Storage=", *PLAIN)
    assert ended.code == 0, ended
    assert_disks(imports, ended.name, export.raws)


@pytest.mark.parametrize("what", ["ova", "folder"])
def test_an_upload_is_streamed_and_its_scratch_volume_deleted(imports, export, what):
    ended = imports.command(
        str(getattr(export, what)), "--upload", "--name", f"up-{what}", "--network", "Storage=", *PLAIN
    )
    assert ended.code == 0, ended
    assert_disks(imports, ended.name, export.raws)
    imports.wait_clean()
    assert not imports.platform.find("pvc", imports.status(ended.name)["uploadClaimName"])


def test_a_command_that_sees_other_files_than_the_platform_uploads(imports, export, tmp_path):
    """As from a container on the same machine: the path names nothing that the platform could read."""
    script = 'mount -t tmpfs tmpfs "$1" && cp "$2" "$1"/hidden.ova && shift 2 && exec "$@"'
    command = [
        str(BIN / "isthmus"),
        "import",
        str(tmp_path / "hidden.ova"),
        "--name",
        "hidden",
        "--network",
        "Storage=",
    ]
    home = imports.platform.home
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path, export.ova, *command, *PLAIN],
        env=os.environ | {"ISTHMUS_HOME": str(home.root), "KUBECONFIG": str(home.kubeconfig)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    ended = imports.ended(done.returncode, done.stdout, done.stderr)
    assert ended.code == 0, ended
    assert "may not see the files of this command: the file is uploaded" in ended.errors
    assert_disks(imports, ended.name, export.raws)


@pytest.mark.parametrize("maker", makers.MAKERS)
def test_packages_of_other_makers(imports, export, tmp_path, maker):
    path = makers.MAKERS[maker](tmp_path, export.raws[: 1 if maker == "VirtualBox" else 2])
    networks = [f"--network=net {n}=" for n in (2, 3)] if maker == "mixed controllers" else []
    machine = ["--machine", "front end"] if maker == "vApp" else []
    ended = imports.command(
        str(path), "--name", f"maker-{list(makers.MAKERS).index(maker)}", *networks, *machine, *PLAIN
    )
    assert ended.code == 0, ended
    for disk in imports.status(ended.name)["disks"]:
        raw = export.raws[int(disk["name"][-1]) - 1]
        assert imports.disk(disk["claimName"]).read_bytes()[: raw.stat().st_size] == raw.read_bytes()


def test_an_ovf_folder_with_flat_disks(imports, export, tmp_path):
    """A descriptor whose file is a VMDK of two parts: the text, and the bytes beside it."""
    disk = vmdk.write_flat(export.raws[0], tmp_path, "flat")
    files = [ovf.DiskFile(disk.name, disk.stat().st_size, -(-export.raws[0].stat().st_size // 512) * 512)]
    (tmp_path / "flat.ovf").write_bytes(ovf.descriptor(ovf.Machine("flat", files)))
    ended = imports.command(str(tmp_path), "--name", "flat", *PLAIN)
    assert ended.code == 0, ended
    assert_disks(imports, ended.name, export.raws[:1])


def test_an_uploaded_disk_without_a_machine_around_it(imports, export):
    vmdk = export.folder / "legacy-disk1.vmdk"
    ended = imports.command(str(vmdk), "--upload", "--name", "bare", *PLAIN)
    assert ended.code == 0, ended
    assert_disks(imports, ended.name, export.raws[:1])


def test_a_url_with_a_password_out_of_a_secret(imports, export):
    platform = imports.platform
    data = {k: base64.b64encode(v).decode() for k, v in {"accessKeyId": b"vmware", "secretKey": b"s3cret"}.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "download"}, "data": data}
    platform.request("POST", platform.path("secret"), secret)
    checksum = hashlib.sha256(export.ova.read_bytes()).hexdigest()
    try:
        with served(export.ova.parent, password="s3cret") as url:
            ended = imports.command(
                f"{url}/legacy.ova", "--name", "web", "--secret", "download", "--checksum", f"sha256:{checksum}",
                "--network", "Storage=", *PLAIN,
            )  # fmt: skip
            refused = imports.command(f"{url}/legacy.ova", "--name", "web2", *PLAIN)
        assert ended.code == 0, ended
        assert_disks(imports, ended.name, export.raws)
        assert refused.code == 1
        assert "401" in refused.errors
    finally:
        platform.delete("secret", "download")


def test_a_file_that_hashes_to_something_else_is_refused(imports, export):
    ended = imports.command(str(export.ova), "--checksum", f"sha256:{'0' * 64}", *PLAIN)
    assert ended.code == 1
    assert "0000" in ended.errors
    imports.wait_clean()


def test_hostile_packages_end_in_their_message_and_leave_nothing(imports, export, tmp_path):
    paths = {}
    for number, name in enumerate(CORPUS):
        base = tmp_path / str(number)
        base.mkdir()
        paths[f"hostile-{number}"] = (build(CORPUS[name], export, base), CORPUS[name])
        imports.create(
            f"hostile-{number}", source={"path": str(paths[f"hostile-{number}"][0])}, targetName=f"hostile-{number}",
            converter="None", prove=False, networks=[{"source": "Storage", "target": {}}],
        )  # fmt: skip
    wrong = {}
    for name, (path, case) in paths.items():
        status = imports.wait(name, "Failed", "Succeeded", seconds=120)
        message = str(status.get("message"))
        if status["phase"] != "Failed" or case.member not in message or str(path) not in message:
            wrong[name] = (case, status["phase"], message)
    assert not wrong
    imports.wait_clean()
    for name in paths:
        assert not imports.platform.find("vm", name)


def test_a_name_that_is_taken_is_refused_before_anything_is_copied(imports, export):
    assert imports.command(str(export.ova), "--name", "taken", "--network", "Storage=", *PLAIN).code == 0
    ended = imports.command(str(export.ova), "--name", "taken", "--network", "Storage=", *PLAIN)
    assert ended.code == 1
    assert "taken is there already" in ended.errors
    assert imports.status(ended.name)["timings"][-1]["phase"] == "Inspecting"


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        (("No Such=pod",), "the source has no network 'No Such'"),
        (("VM Network=nowhere",), "NetworkAttachmentDefinition nowhere, which is not there"),
        (("VM Network=pod", "Storage=pod"), "more than one card on the pod network"),
    ],
)
def test_a_wrong_network_is_refused_before_anything_is_copied(imports, export, mapping, why):
    options = [option for text in mapping for option in ("--network", text)]
    ended = imports.command(str(export.ova), "--name", "lost", *options, *PLAIN)
    assert ended.code == 1
    assert why in ended.errors
    imports.wait_clean()


def test_what_cannot_begin_ends_with_exit_code_2(imports, tmp_path):
    assert imports.command(str(tmp_path / "none.ova")).code == 2
    assert imports.command("https://user:password@h/a.ova").code == 2


def test_deleting_an_import_cancels_it_and_ctrl_c_does_not(imports, export):
    with served(export.ova.parent, delay=0.4) as url:
        process = imports.start(f"{url}/legacy.ova", "--name", "slow", "--network", "Storage=", *PLAIN)
        name = wait_for(lambda: [i["metadata"]["name"] for i in imports.platform.list("vmimport")], 20)[0]
        imports.wait(name, "Transferring")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert f"kubectl delete vmimport {name}" in errors, (output, errors)
        time.sleep(1)
        assert imports.status(name)["phase"] == "Transferring"
        imports.platform.delete("vmimport", name)
        imports.platform.wait_gone("vmimport", name)
        imports.wait_clean()


def test_an_upload_that_is_broken_off_takes_its_import_away(imports, tmp_path):
    big = tmp_path / "big.ova"
    with big.open("wb") as file:
        file.truncate(40 << 30)
    process = imports.start(str(big), "--upload")
    wait_for(lambda: imports.platform.list("vmimport"), 20)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "deleted, as its upload did not end" in errors
    wait_for(lambda: not imports.platform.list("vmimport"), 10)
    imports.wait_clean()


def test_a_guest_that_nobody_knows_boots_in_compatibility_mode(imports, tmp_path):
    raw = asyncio.run(tiny.build()).disk
    path = tmp_path / "unknown.ova"
    machine = ovf.Machine("unknown", (), CARDS[:1], memory_mib=256, os_type="otherGuest64", os_id=102)
    make_ova.make_ova(path, machine, [raw])
    ended = imports.command(str(path), "--name", "unknown")
    assert ended.code == 0, ended
    status = imports.status(ended.name)
    assert [a["converter"] for a in status["conversion"]["attempts"]] == ["Isthmus", "VirtV2V"]
    assert "No root device found" in status["conversion"]["attempts"][1]["log"]
    assert status["proof"]["verdict"] == "Passed"
    devices = imports.platform.get("vm", "unknown")["spec"]["template"]["spec"]["domain"]["devices"]
    assert devices["disks"][0]["disk"]["bus"] == "sata"
    assert devices["interfaces"][0]["model"] == "e1000e"
    assert filecmp.cmp(raw, imports.disk(status["disks"][0]["claimName"]), shallow=False)


def test_a_legacy_debian_is_converted_and_proven_with_its_evidence(imports, tmp_path):
    raws = [asyncio.run(legacy.build()), disks.make(tmp_path / "data.raw")]
    path = tmp_path / "legacy.ova"
    make_ova.make_ova(path, ovf.Machine("legacy", (), CARDS), raws)
    ended = imports.command(str(path), "--name", "legacy", "--network", "Storage=")
    assert ended.code == 0, ended
    status = imports.status(ended.name)
    proof, conversion = status["proof"], status["conversion"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == dict.fromkeys(
        ("Ready", "Transferred", "Converted", "Proven"), "True"
    )
    assert conversion["addresses"] == {"ens192": ["192.168.50.10/24"]}
    assert {c["name"] for c in proof["checks"] if c["passed"]} >= {"kernel", "root", "up", "addresses"}
    assert '"isthmus":"booted"' in proof["console"]
    assert "\x1b" not in proof["console"]
    picture = imports.platform.get("configmap", proof["screenshot"].removeprefix("configmap/"))
    assert base64.b64decode(picture["binaryData"]["screen.png"]).startswith(b"\x89PNG")
    imports.wait_clean()


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_virt_v2v_converts_when_it_is_asked_for_and_its_phases_are_shown(imports, tmp_path):
    path = tmp_path / "legacy.ova"
    make_ova.make_ova(path, ovf.Machine("legacy", (), CARDS[:1]), [asyncio.run(legacy.build())])
    imports.create("by-virt-v2v", source={"path": str(path)}, targetName="by-virt-v2v", converter="VirtV2V")
    shown: list[str] = []

    def ended() -> bool:
        status = imports.status("by-virt-v2v")
        summary = (status.get("progress") or {}).get("summary", "")
        if summary.startswith("virt-v2v: ") and summary not in shown:
            shown.append(summary)
        return status.get("phase") in ("Succeeded", "Failed")

    wait_for(ended, 1200, 0.3, why=lambda: imports.platform.describe("vmimport", "by-virt-v2v"))
    status = imports.status("by-virt-v2v")
    imports.vms.append("by-virt-v2v")
    assert status["phase"] == "Succeeded", status["message"]
    conversion = status["conversion"]
    assert conversion["converter"] == "VirtV2V"
    assert "debian" in conversion["os"].lower()
    assert any("Converting" in summary for summary in shown), shown
    assert len(shown) >= 3, shown
    assert any("Converting" in change for change in conversion["changes"])
    assert "Finishing off" in conversion["log"]
    assert status["proof"]["verdict"] == "Passed", status["proof"]
    vm = imports.platform.get("vm", "by-virt-v2v")
    assert vm["spec"]["preference"]["name"] == "debian"
    assert vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"][0]["disk"]["bus"] == "virtio"
    print(f"\nvirt-v2v: {conversion['seconds']} s, proof {status['proof']['seconds']} s; shown: {shown}")


def test_progress_on_a_terminal_names_phase_bytes_rate_and_time_left(imports, tmp_path):
    raw = tmp_path / "random.raw"
    raw.write_bytes(os.urandom(12 << 20))
    make_ova.make_ova(tmp_path / "random.ova", ovf.Machine("random", ()), [raw])
    with served(tmp_path, delay=0.004) as url:
        command = f"isthmus import {url}/random.ova --name shown {' '.join(PLAIN)}"
        environment = {"ISTHMUS_HOME": str(imports.platform.home.root)}
        shown = subprocess.run(
            ["script", "-qec", command, "/dev/null"],
            env={**_environment(), **environment, "KUBECONFIG": str(imports.platform.home.kubeconfig)},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout  # fmt: skip
    imports.ended(0, next(f"{ln}\n" for ln in shown.replace("\r", "\n").split("\n") if ln.endswith(" created")), "")
    lines = [line for line in shown.replace("\r", "\n").splitlines() if "Transferring  [" in line]
    assert any(all(word in line for word in ("%", " of ", "B/s", " left")) for line in lines), shown


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "80"}
