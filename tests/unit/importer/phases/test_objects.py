"""What the phases make of objects: pods without secrets, claims for uploads, deadlines, verdicts."""

from typing import Any

import orjson
import pytest

from isthmus.importer.convert import events, virtv2v
from isthmus.importer.convert.decide import Converter, Verdict
from isthmus.importer.phases import appliance, deadline, proving, source, transferring, uploading, worker
from isthmus.importer.phases import virtv2v as v2v
from isthmus.importer.phases.phase import Import, ImportFailedError
from isthmus.importer.prove import judge
from isthmus.importer.sources.machine import OperatingSystem
from isthmus.importer.worker import convert

UNKNOWN_OS = OperatingSystem()


def an_import(spec: dict[str, Any], status: dict[str, Any] | None = None, name: str = "erp-x1") -> Import:
    metadata = {"name": name, "namespace": "default", "uid": "u-1"}
    return Import(None, None, {"metadata": metadata, "spec": spec, "status": status or {}})  # type: ignore[arg-type]


def test_a_url_with_secret_and_certificates_puts_neither_into_arguments_nor_variables():
    spec = {"source": {"url": "https://h/a.ova", "secretRef": "login", "certConfigMap": "ca"}}
    given = source.find(an_import(spec))
    pod = worker.build_pod("p", ["inspect", *given.arguments], given.volumes)
    assert given.arguments == ["--source", "https://h/a.ova"]
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["source-secret"]["secret"] == {"secretName": "login"}
    assert volumes["source-certificates"]["configMap"] == {"name": "ca"}
    container = pod["spec"]["containers"][0]
    assert [e["name"] for e in container["env"]] == ["ISTHMUS_VOLUMES"]
    assert orjson.loads(container["env"][0]["value"])["source-secret"] == "/volumes/source-secret"


def test_an_upload_is_read_from_its_volume_under_the_name_that_it_had():
    spec = {"source": {"upload": {"size": 10, "fileName": "erp.ova"}}}
    given = source.find(an_import(spec, {"uploadClaimName": "erp-x1-upload"}))
    assert given.arguments == ["--source", "volume:source", "--shown-as", "erp.ova"]
    assert given.volumes[0]["persistentVolumeClaim"] == {"claimName": "erp-x1-upload"}


def test_an_import_without_a_source_is_told_what_is_missing():
    with pytest.raises(ImportFailedError, match="exactly one of path, url and upload"):
        source.find(an_import({"source": {}}))


def test_the_claim_for_an_upload_is_as_large_as_the_file_to_the_byte():
    claim = uploading.build_claim(an_import({"source": {"upload": {"size": 12_345_678}}}))
    assert claim["spec"]["resources"]["requests"]["storage"] == "12345678"
    assert claim["metadata"]["annotations"][uploading.TARGET] == ""


def test_long_names_are_cut_and_stay_different():
    first, second = (an_import({}, name="a" * 70 + end) for end in ("1", "2"))
    assert len(first.child("transfer")) <= 63
    assert first.child("transfer") != second.child("transfer")
    assert len(first.label) <= 63
    assert an_import({}).child("prove") == "erp-x1-prove"


def test_deadlines_grow_with_the_disks():
    small, large = ({"disks": [{"capacity": size}]} for size in ("1Gi", "1Ti"))
    for phase in ("Transferring", "Converting"):
        assert deadline.deadline(phase, {"source": {}}, small) < deadline.deadline(phase, {"source": {}}, large)
    hundred_gigabytes = {"source": {"upload": {"size": 100 * 10**9}}}
    assert deadline.deadline("AwaitingUpload", hundred_gigabytes, {}) > 100_000


def test_the_worker_is_told_the_checksum_and_the_machine():
    machine = {"name": "erp", "disks": [{"id": "d1", "label": "Hard Disk 1", "capacity": 1024}]}
    spec = {"source": {"path": "/a.ova", "machine": "erp", "checksum": "sha256:ab"}}
    work = an_import(spec, {"source": {"machine": machine}})
    assert transferring.build_arguments(work, source.find(work)) == [
        "transfer", "--source", "/a.ova", "--machine", "erp", "--checksum", "sha256:ab", "--disk", "d1=disk-1",
    ]  # fmt: skip


def test_what_the_worker_wrote_stands_in_the_status_of_each_disk():
    work = an_import({"source": {}}, {"disks": [{"name": "d1", "claimName": "c"}]})
    found = transferring.written(work, {"disks": [{"disk": "d1", "writtenBytes": 5, "digest": "sha256:ab"}]})
    assert found == [{"name": "d1", "claimName": "c", "bytesWritten": 5, "sha256": "ab"}]


def test_our_converter_that_declines_leaves_clean_disks_and_one_that_fails_does_not():
    declined = appliance.judge(events.Report(verdict="unsupported", reason="no root"), "log")
    assert (declined.verdict, declined.dirty, declined.reason) == (Verdict.UNSUPPORTED, False, "no root")
    assert appliance.judge(events.Report(), "").dirty
    note = declined.note(Converter.ISTHMUS)
    assert (note["converter"], note["verdict"], note["log"]) == ("Isthmus", "unsupported", "log")


def result(log: str, *, converted: bool) -> dict[str, Any]:
    return convert.judge(virtv2v.Result(converted, virtv2v.parse(log), 12.3, "virt-v2v-in-place 2.2.0"))


def test_virt_v2v_that_finds_no_guest_has_changed_nothing():
    told = result("[   1.0] Inspecting the source\nvirt-v2v-in-place: error: no root device found\n", converted=False)
    attempt = v2v.judge(told, "", UNKNOWN_OS)
    assert (attempt.verdict, attempt.dirty, attempt.reason) == (Verdict.UNSUPPORTED, False, "no root device found")


def test_virt_v2v_that_fails_while_converting_leaves_disks_that_must_be_copied_again():
    log = "[   9.0] Converting Debian GNU/Linux 12 to run on KVM\nvirt-v2v-in-place: error: no space left\n"
    attempt = v2v.judge(result(log, converted=False), "", UNKNOWN_OS)
    assert (attempt.verdict, attempt.dirty) == (Verdict.FAILED, True)


def test_a_worker_that_was_killed_in_the_middle_counts_as_dirty():
    assert v2v.judge({}, "", UNKNOWN_OS).dirty


def test_a_windows_without_virtio_drivers_gets_devices_that_it_knows():
    log = (
        "[   9.0] Converting Windows Server 2019 to run on KVM\n"
        "virt-v2v-in-place: warning: there are no virtio drivers available for this version of Windows\n"
        "[  20.0] Finishing off\n"
    )
    facts = v2v.judge(result(log, converted=True), "", UNKNOWN_OS).facts
    assert facts["devices"] == "compatible"
    assert facts["os"] == "Windows Server 2019"


def test_a_guest_that_virt_v2v_names_by_a_number_alone_is_named_by_the_source_too():
    log = "[  90.0] Converting 12.15 to run on KVM\n[ 200.0] Finishing off\n"
    facts = v2v.judge(result(log, converted=True), "", OperatingSystem("debian10_64Guest")).facts
    assert facts["os"] == "debian10_64Guest 12.15"


def verdict(outcome: judge.Outcome) -> judge.Verdict:
    return judge.Verdict(judge.Outcome.FAILED, (judge.Check("up", outcome, "?"),), "not seen", 300)


@pytest.mark.parametrize(
    ("converter", "outcome", "console", "alive", "expected"),
    [
        ("Compatibility", judge.Outcome.RUNNING, "", True, "Inconclusive"),
        ("Compatibility", judge.Outcome.RUNNING, "", False, "Failed"),
        ("Compatibility", judge.Outcome.RUNNING, "Kernel panic - not syncing", True, "Failed"),
        ("VirtV2V", judge.Outcome.FAILED, "", True, "Failed"),
        ("Isthmus", judge.Outcome.RUNNING, "", True, "Failed"),
    ],
)
def test_only_a_guest_that_nobody_taught_to_speak_may_keep_silent(converter, outcome, console, alive, expected):
    work = an_import({}, {"conversion": {"converter": converter}})
    assert proving.name_verdict(work, verdict(outcome), console, alive=alive) == expected


def test_the_agent_is_believed_once_it_is_connected():
    status = {
        "conditions": [{"type": "AgentConnected", "status": "True"}],
        "guestOSInfo": {"kernelRelease": "6.1"},
        "interfaces": [{"name": "nic-1", "interfaceName": "ens192", "ipAddresses": ["192.0.2.7"]}],
    }
    agent = proving.find_agent({"status": status})
    assert agent == judge.Agent(True, "6.1", {"ens192": ("192.0.2.7",)})
    assert proving.find_agent({"status": {}}) == judge.Agent()
