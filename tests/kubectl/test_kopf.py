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


@pytest.fixture
def operator(kubectl, tmp_path):
    kubectl.apply(CRD)
    kubectl("wait", "crd/ponds.kopf.example.org", "--for=condition=Established", "--timeout=10s")
    log = tmp_path / "kopf.log"
    program = Path(__file__).with_name("operator_under_test.py")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", kubectl.namespace, str(program)]
    environment = os.environ | {"KUBECONFIG": str(kubectl.home.kubeconfig)}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    yield log
    process.terminate()
    process.wait(20)
    kubectl("delete", "crd", "ponds.kopf.example.org", "--timeout=20s")


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
