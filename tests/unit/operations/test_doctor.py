import json
import socket
from dataclasses import asdict
from pathlib import Path

from isthmus.engine.node.vm import kvm
from isthmus.lib.home import Home
from isthmus.operations import doctor
from isthmus.operations.doctor import Level


def found(port=0, *, running=False):
    return list(doctor.find(Home(Path("/nonexistent")), port, running=running))


def test_without_qemu_nothing_runs_and_the_package_is_named(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    error = next(f for f in found() if f.level is Level.ERROR)
    assert "qemu-system-x86_64 is not installed" in error.what
    assert "qemu-system-x86" in error.remedy


def test_a_missing_tool_is_a_warning_with_its_package(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda command, **_: None if command == "nft" else f"/bin/{command}")
    finding = next(f for f in found() if "nft" in f.what)
    assert (finding.level, finding.remedy) == (Level.WARNING, "apt-get install nftables")


def test_without_kvm_it_says_how_much_slower_and_what_to_do(monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    finding = next(f for f in found() if "/dev/kvm" in f.what)
    assert finding.level is Level.WARNING
    assert "emulation" in finding.what
    assert finding.remedy


def test_a_kvm_that_was_found_not_to_run_guests_is_told_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: True)
    home = Home(tmp_path)
    home.run.mkdir()
    assert not doctor.is_acceleration_known(home)
    verdict = kvm.Verdict(False, "a test guest died on KVM (exit 1)", kvm.boot_id())
    (home.run / kvm.RECORD).write_text(json.dumps(asdict(verdict)))
    finding = doctor.wait_acceleration(home)
    assert finding.level is Level.WARNING
    assert "KVM runs no guests here: VMs run by software emulation (TCG)" in finding.what
    assert "a test guest died on KVM (exit 1)" in finding.remedy


def test_a_verdict_of_an_earlier_boot_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: True)
    home = Home(tmp_path)
    home.run.mkdir()
    (home.run / kvm.RECORD).write_text(json.dumps(asdict(kvm.Verdict(False, "died", "another boot"))))
    assert doctor.find_acceleration(home).level is Level.OK


def test_without_root_it_names_what_is_lost(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    finding = next(f for f in found() if "root" in f.what)
    assert finding.level is Level.WARNING
    assert "bridges" in finding.what


def test_a_port_that_somebody_has_stops_it_unless_it_is_ours():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = next(f for f in found(port) if f"port {port}" in f.what)
        assert taken.level is Level.ERROR
        assert "--port" in taken.remedy
        assert not any(f"port {port}" in f.what for f in found(port, running=True))


def test_whatever_is_wrong_has_a_remedy():
    assert all(f.remedy for f in found() if f.level is not Level.OK)
