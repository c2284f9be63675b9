"""The worker as its Pod runs it: arguments, exit codes, output, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.vmware import disks, make_ova, ovf, vmdk


def start(volumes: dict[str, Path], *args: str, **kwargs) -> subprocess.Popen[str]:
    environment = os.environ | {"ISTHMUS_VOLUMES": json.dumps({k: str(v) for k, v in volumes.items()})}
    return subprocess.Popen(
        [sys.executable, "-m", "isthmus.importer.worker", *args],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


def run(volumes: dict[str, Path], *args: str) -> tuple[int, list[dict], str]:
    process = start(volumes, *args)
    out, err = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def test_inspect_prints_what_the_package_has(export):
    code, (found,), _ = run({}, "inspect", "--source", str(export.ova))
    assert code == 0
    assert found["manifest"]
    machine = found["machines"][0]
    assert machine["name"] == "legacy"
    assert machine["os"]["guestId"] == "debian10_64Guest"
    assert [disk["id"] for disk in machine["disks"]] == ["vmdisk1", "vmdisk2"]
    assert machine["disks"][0]["controller"]["bus"] == "scsi"
    assert machine["nics"][0]["mac"] == "00:50:56:01:02:03"
    assert machine["nics"][0]["slot"] == 192


def test_inspect_tells_the_capacity_of_a_bare_disk_too(export, tmp_path: Path):
    size = export.raws[1].stat().st_size
    split = vmdk.write_split(export.raws[1], tmp_path, "split", flat=False, extent_size=4 << 20)
    for path in (export.folder / "legacy-disk2.vmdk", split):
        code, (found,), _ = run({}, "inspect", "--source", str(path))
        assert code == 0
        assert found["machines"][0]["name"] == path.stem
        assert [(disk["id"], disk["capacity"]) for disk in found["machines"][0]["disks"]] == [("disk-1", size)]


def test_transfer_writes_the_volume_and_tells_how_far_it_is(export, tmp_path: Path):
    code, lines, err = run({"root": tmp_path}, "transfer", "--source", str(export.ova), "--disk", "vmdisk1=root")
    assert (code, err) == (0, "")
    assert (tmp_path / "disk.img").read_bytes() == export.raws[0].read_bytes()
    last = lines[-1]["transfer"]
    assert last["phase"] == "Succeeded"
    assert last["percent"] == 100
    assert last["disks"][0]["verified"]
    assert last["disks"][0]["sourceBytes"] == last["disks"][0]["sourceSize"]


def test_bad_input_is_exit_code_2_and_one_line(export, tmp_path: Path):
    broken = tmp_path / "broken.ova"
    size = export.ova.stat().st_size // 2
    broken.write_bytes(export.ova.read_bytes()[:size])
    code, _, err = run({"root": tmp_path}, "transfer", "--source", str(broken), "--disk", "vmdisk1=root")
    assert code == 2
    assert err.startswith(f"error: {broken}: at byte {size}: the archive is cut off within 'legacy-disk")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "disk.img").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "--source", "x.ova", "--disk", "a"], "DISK=VOLUME"),
        (["transfer", "--source", "x.ova", "--disk", "a=other"], "not in ISTHMUS_VOLUMES (root)"),
        (["transfer", "--source", "x.ova", "--disk", "a=root", "--disk", "b=root"], "twice"),
        (["transfer", "--source", "nowhere.ova", "--disk", "a=root"], "nowhere.ova: cannot be read: No such file"),
        (["transfer", "--source", "x.ova", "--disk", "a=root", "--import", "x"], "NAMESPACE/NAME"),
        (["inspect", "--source", "/dev/null"], "no plain file"),
        (["inspect"], "--source"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_arguments_are_exit_code_2(tmp_path: Path, arguments: list[str], message: str):
    code, _, err = run({"root": tmp_path}, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "sent", "message"),
    [([], signal.SIGTERM, "cancelled before it was done"), (["--deadline", "0.5"], None, "not done within 0.5 s")],
)
def test_a_transfer_that_is_stopped_leaves_the_volume_empty(tmp_path: Path, options, sent, message: str):
    raw = disks.make(tmp_path / "raw", size=20 << 20)
    make_ova.make_ova(tmp_path / "m.ova", ovf.Machine("m", ()), [raw])
    head = (tmp_path / "m.ova").read_bytes()
    arguments = ["transfer", "--source", "-", "--disk", "vmdisk1=root", *options]
    process = start({"root": tmp_path}, *arguments, stdin=subprocess.PIPE)
    assert process.stdin
    os.write(process.stdin.fileno(), head[: len(head) // 2])  # and then nothing: an upload that hangs
    image = tmp_path / "disk.img"
    while sent and not (image.exists() and image.stat().st_blocks):
        assert process.poll() is None
        time.sleep(0.02)
    if sent:
        process.send_signal(sent)
    assert process.wait(timeout=20) == 1
    assert message in process.stderr.read()
    assert not image.exists()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_a_transfer_that_was_killed_can_be_run_again(export, tmp_path: Path):
    image = tmp_path / "disk.img"
    image.write_bytes(b"half of another disk" * 1_000_000)
    os.truncate(image, 30 << 20)
    assert run({"root": tmp_path}, "transfer", "--source", str(export.ova), "--disk", "vmdisk1=root")[0] == 0
    size = export.raws[0].stat().st_size
    assert image.read_bytes() == export.raws[0].read_bytes() + bytes((30 << 20) - size)


def test_a_full_volume_is_exit_code_1_and_says_so(export):
    code, _, err = run({"root": Path("/dev/full")}, "transfer", "--source", str(export.ova), "--disk", "vmdisk1=root")
    assert code == 1
    assert "neither a plain file nor a block device" in err
