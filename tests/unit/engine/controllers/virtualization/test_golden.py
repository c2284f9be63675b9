"""Launcher Pods, VMI statuses and expanded VMs against files: `*.input.yaml` -> `*.output.yaml`.

`UPDATE_GOLDEN=1 pytest ...` writes the outputs anew.
"""

import os
from pathlib import Path

import pytest
import yaml

from isthmus.engine.controllers.virtualization import launcher, vmiphase
from isthmus.machinery import instancetype

GOLDEN = Path(__file__).parents[4] / "golden/controllers"
NOW = "2026-01-01T00:00:00Z"


def expand(given):
    out = instancetype.expand(given["vm"], given.get("instancetype"), given.get("preference"))
    return {"conflicts": list(out.conflicts)} if out.conflicts else {"template": out.vm["spec"]["template"]}


def vmi_status(given):
    volumes = [vmiphase.Volume(v["name"], v.get("claim"), v.get("dataVolume")) for v in given.get("volumes") or []]
    return vmiphase.build_status(given["vmi"], given.get("pod"), volumes, NOW)


TRANSFORMS = {"launcher": launcher.build_pod, "instancetype": expand, "vmi": vmi_status}
CASES = sorted(GOLDEN.glob("*/*.input.yaml"))


@pytest.mark.parametrize("path", CASES, ids=[f"{p.parent.name}-{p.name.removesuffix('.input.yaml')}" for p in CASES])
def test_a_golden_file_is_reproduced(path):
    made = TRANSFORMS[path.parent.name](yaml.safe_load(path.read_text()))
    output = path.with_name(path.name.replace(".input.", ".output."))
    if os.environ.get("UPDATE_GOLDEN"):
        output.write_text(yaml.safe_dump(made, sort_keys=False, width=100))
    assert made == yaml.safe_load(output.read_text())


def test_there_are_cases():
    assert {p.parent.name for p in CASES} == TRANSFORMS.keys()
