"""A real kopf operator with its own CRD: its handlers run, its finalizer holds the object until its work is done."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ponds.kopf.example.org"},
    "spec": {
        "group": "kopf.example.org",
        "scope": "Namespaced",
        "names": {"plural": "ponds", "kind": "Pond"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"depth": {"type": "integer"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def start(kubectl, log: Path) -> subprocess.Popen[bytes]:
    program = Path(__file__).with_name("operator_under_test.py")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", kubectl.namespace, str(program)]
    environment = os.environ | {"KUBECONFIG": str(kubectl.home.kubeconfig)}
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)


@pytest.fixture
def crd(kubectl):
    kubectl.apply(CRD)
    kubectl("wait", "crd/ponds.kopf.example.org", "--for=condition=Established", "--timeout=10s")
    yield
    kubectl("delete", "crd", "ponds.kopf.example.org", "--timeout=20s")


@pytest.fixture
def operator(kubectl, tmp_path, crd):
    log = tmp_path / "kopf.log"
    process = start(kubectl, log)
    yield log
    process.terminate()
    process.wait(20)


def until(check, log: Path, seconds: float = 25) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def test_an_operator_creates_updates_and_deletes_by_its_handlers(kubectl, operator) -> None:
    pond = {"apiVersion": "kopf.example.org/v1", "kind": "Pond", "metadata": {"name": "p"}, "spec": {"depth": 1}}
    kubectl.apply(pond)
    state = lambda: kubectl("get", "pond", "p", "-o", "jsonpath={.status.state}")  # noqa: E731
    until(lambda: state() == "made", operator)
    assert kubectl.json("get", "pond", "p")["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    kubectl.apply(pond | {"spec": {"depth": 5}})
    until(lambda: state() == "1->5", operator)
    kubectl("delete", "pond", "p", "--timeout=20s")
    assert f"DRAINED {kubectl.namespace}/p" in operator.read_text()


def test_children_timers_events_and_a_restart(kubectl, tmp_path, crd) -> None:
    log = tmp_path / "kopf.log"
    process = start(kubectl, log)
    pond = {"apiVersion": "kopf.example.org/v1", "kind": "Pond", "metadata": {"name": "p"}, "spec": {"depth": 2}}
    kubectl.apply(pond)
    rains = lambda: int(kubectl("get", "pond", "p", "-o", "jsonpath={.status.rains}") or 0)  # noqa: E731
    children = lambda: kubectl("get", "cm", "-o", "name").count("fish-")  # noqa: E731
    until(lambda: rains() >= 2 and children() == 1, log)
    kubectl("label", "pond", "p", "ask=yes")
    until(lambda: "1 depths" in kubectl("get", "events", "--field-selector", "reason=Asked"), log)
    process.kill()
    process.wait(20)
    process = start(kubectl, log)
    try:
        until(lambda: "FOUND p" in log.read_text(), log)
        kubectl("delete", "pond", "p", "--timeout=20s")
        until(lambda: children() == 0, log)
    finally:
        process.terminate()
        process.wait(20)
