"""Schemas for the merge tests: a kind of ours with every kind of field (widget.json), and Kubernetes' definitions."""

import json
from importlib import resources
from pathlib import Path

import pytest

from isthmus.machinery.schema import Node


@pytest.fixture(scope="session")
def widget():
    return Node(json.loads(Path(__file__).with_name("widget.json").read_text()), {})


@pytest.fixture(scope="session")
def kubernetes():
    """kubernetes("core.v1.Pod") is the Node of that definition of Kubernetes 1.36."""
    where = resources.files("kubernetes_validate") / "kubernetes-json-schema/v1.36.0-local/_definitions.json"
    definitions = json.loads(where.read_text())["$defs"]
    for kind in ("ContainerPort", "ServicePort"):  # the OpenAPI document has these defaults, the JSON schemas not
        definitions[f"io.k8s.api.core.v1.{kind}"]["properties"]["protocol"]["default"] = "TCP"
    return lambda name: Node({"$ref": f"#/$defs/io.k8s.api.{name}"}, definitions)
