"""DataVolumes: what is made for them, and what their status says."""

import pytest

from isthmus.engine.controllers.storage import binding, datavolumeplan, datavolumestatus, upload
from isthmus.engine.controllers.storage.datavolumeplan import Source, SourceError
from isthmus.engine.controllers.storage.datavolumestatus import View
from isthmus.machinery import conditions

NOW = "2026-01-01T00:00:00Z"
STORAGE = {"storage": {"resources": {"requests": {"storage": "2Gi"}}}}
BOUND = {"metadata": {"name": "d", "annotations": {}}, "spec": {}, "status": {"phase": "Bound"}}


def volume(source=None, status=None, **spec):
    metadata = {"name": "d", "namespace": "ns", "uid": "u", "labels": {"l": "1"}, "annotations": {"a": "1"}}
    given = {"source": source} if source else {}
    body = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": metadata}
    return body | {"spec": STORAGE | given | spec} | ({"status": status} if status else {})


def pod(phase, message=""):
    ended = {"state": {"terminated": {"exitCode": 2, "message": message}}} if message else {"state": {}}
    return {"metadata": {}, "status": {"phase": phase, "containerStatuses": [ended]}}


def with_annotations(**annotations):
    return BOUND | {"metadata": {"name": "d", "annotations": annotations}}


HTTP = Source("http", {"url": "https://example.org/disk.qcow2"})


def test_the_claim_has_the_volumes_name_owner_labels_and_completed_spec():
    claim = datavolumeplan.build_claim(volume({"http": HTTP.fields}), HTTP, None, None)
    assert claim["metadata"]["name"] == "d"
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert claim["metadata"]["labels"]["l"] == "1"
    assert claim["metadata"]["annotations"]["cdi.kubevirt.io/storage.import.endpoint"] == HTTP.fields["url"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_a_clone_takes_size_and_node_of_its_origin():
    origin = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    source = Source("pvc", {"namespace": "golden", "name": "os"})
    claim = datavolumeplan.build_claim(volume({"pvc": source.fields}, storage={}), source, origin, "n1")
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    assert claim["metadata"]["annotations"][binding.SELECTED_NODE] == "n1"
    assert datavolumeplan.clone_fits(origin, claim)
    assert not datavolumeplan.clone_fits(origin, {"spec": {"resources": {"requests": {"storage": "4Gi"}}}})


def test_a_size_that_nobody_gives_is_asked_for():
    with pytest.raises(SourceError, match="storage is required"):
        datavolumeplan.build_claim(volume({"http": {}}, storage={}), HTTP, None, None)


def test_a_source_is_read_directly_or_through_a_data_source():
    assert datavolumeplan.find_source(volume({"blank": {}}), None) == Source("blank", {})
    reference = volume(sourceRef={"kind": "DataSource", "name": "os", "namespace": "golden"})
    target = {"spec": {"source": {"pvc": {"name": "os-1"}}}}
    assert datavolumeplan.find_source(reference, target) == Source("pvc", {"name": "os-1", "namespace": "golden"})
    with pytest.raises(SourceError, match="golden/os does not exist"):
        datavolumeplan.find_source(reference, None)
    with pytest.raises(SourceError, match="cannot be filled from 'vddk'"):
        datavolumeplan.find_source(volume({"vddk": {}}), None)


def test_the_worker_is_told_all_that_the_source_says():
    fields = HTTP.fields | {
        "secretRef": "login",
        "certConfigMap": "ca",
        "checksum": "sha256:00",
        "extraHeaders": ["X: 1"],
    }
    worker = datavolumeplan.build_worker(volume({"http": fields}), Source("http", fields))
    container = worker["spec"]["containers"][0]
    assert container["args"] == [
        *("import-http", "--url", HTTP.fields["url"], "--target", "target", "--header", "X: 1"),
        *("--checksum", "sha256:00", "--credentials", "credentials", "--certificates", "certificates"),
    ]
    assert [v["name"] for v in worker["spec"]["volumes"]] == ["target", "credentials", "certificates"]
    assert worker["metadata"]["name"] == "importer-d"


def test_a_claim_of_another_namespace_is_read_under_an_alias_that_never_reclaims():
    origin = {
        "spec": {
            "capacity": {"storage": "1Gi"},
            "local": {"path": "/x"},
            "nodeAffinity": {"required": {}},
            "persistentVolumeReclaimPolicy": "Delete",
        }
    }
    alias, claim = datavolumeplan.build_alias(volume(), origin)
    assert alias["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert alias["spec"]["local"] == {"path": "/x"}
    claim["metadata"]["uid"] = "new"
    assert binding.find_volume(claim, [alias]) is alias


@pytest.mark.parametrize(
    ("phase", "view"),
    [
        ("Pending", View(volume(), HTTP)),
        ("WaitForFirstConsumer", View(volume(), HTTP, {"metadata": {"name": "d"}}, waits_for_consumer=True)),
        ("Pending", View(volume(), HTTP, {"metadata": {"name": "d"}})),
        ("Succeeded", View(volume(), Source("blank", {}), BOUND)),
        ("ImportScheduled", View(volume(), HTTP, BOUND)),
        ("ImportScheduled", View(volume(), HTTP, BOUND, pod("Pending"))),
        ("ImportInProgress", View(volume(), HTTP, BOUND, pod("Running"))),
        ("ImportInProgress", View(volume(), HTTP, BOUND, pod("Failed", "404"))),
        ("Succeeded", View(volume(), HTTP, BOUND, pod("Succeeded"))),
        ("CloneInProgress", View(volume(), Source("pvc", {}), BOUND, pod("Running"))),
        ("UploadScheduled", View(volume(), Source("upload", {}), BOUND)),
        (
            "UploadReady",
            View(volume(), Source("upload", {}), with_annotations(**{datavolumeplan.POD_READY: "true"})),
        ),
        (
            "Succeeded",
            View(volume(), Source("upload", {}), with_annotations(**{datavolumeplan.POD_PHASE: "Succeeded"})),
        ),
        ("Succeeded", View(volume(status={"phase": "Succeeded"}))),
    ],
)
def test_the_phase_follows_claim_and_worker(phase, view):
    assert datavolumestatus.phase(view) == phase


def test_a_failed_worker_says_why_and_how_often():
    claim = with_annotations(**{datavolumeplan.POD_RESTARTS: "2"})
    status = datavolumestatus.build_status(View(volume(), HTTP, claim, pod("Failed", "404 Not Found")), NOW)
    running = conditions.find(status["conditions"], "Running")
    assert (running["status"], running["reason"], running["message"]) == ("False", "Error", "404 Not Found")
    assert status["restartCount"] == 2
    assert [datavolumestatus.retry_seconds(n) for n in (0, 1, 2, 9)] == [10, 20, 40, 300]


def test_running_and_ready_are_never_both_true():
    for phase in ("Pending", "Running", "Failed", "Succeeded"):
        status = datavolumestatus.build_status(View(volume(), HTTP, BOUND, pod(phase)), NOW)
        both = [conditions.find(status["conditions"], kind)["status"] for kind in ("Running", "Ready")]
        assert both != ["True", "True"]


def test_an_unchanged_status_writes_nothing():
    view = View(volume(), HTTP, BOUND, pod("Running"), progress="12.0%")
    once = datavolumestatus.build_status(view, NOW)
    again = datavolumestatus.build_status(
        View(volume(status=once), HTTP, BOUND, pod("Running")), "2027-01-01T00:00:00Z"
    )
    assert again == once


@pytest.mark.parametrize(
    ("log", "progress"),
    [
        (b'{"percent": 12}\n{"transfer": {"percent": 42.25, "phase": "Running"}}\n', "42.2%"),
        (b'{"percent": 7}\nnot json', "7.0%"),
        (b'[1]\n"x"\n{"percent": true}', None),
        (b"", None),
        (b'{"percent": 400}', "100.0%"),
    ],
)
def test_progress_is_the_last_percentage_that_the_worker_told(log, progress):
    assert datavolumestatus.read_progress(log) == progress


def test_a_claim_takes_an_upload_once_it_is_bound():
    target = {datavolumeplan.UPLOAD_TARGET: ""}
    assert upload.wanted_annotations(BOUND) == {}
    ready = {datavolumeplan.POD_READY: "true", datavolumeplan.POD_PHASE: "Running"}
    assert upload.wanted_annotations(with_annotations(**target)) == ready
    assert upload.wanted_annotations(with_annotations(**target, **ready)) == {}
    done = target | ready | {datavolumeplan.POD_PHASE: "Succeeded"}
    assert upload.wanted_annotations(with_annotations(**done)) == {datavolumeplan.POD_READY: "false"}
