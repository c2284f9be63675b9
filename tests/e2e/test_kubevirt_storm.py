"""Control loops that are killed again and again while VMs start and stop: all converges, nothing is twice or left.

Long. The guests idle (tests/guests/sector.py), so that all but the control plane costs nothing.
"""

import os
import random
import signal
import time
from collections import Counter

import pytest
from tests.e2e import manifests
from tests.e2e.platform import alive, wait_for
from tests.guests import sector

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
NAMES = [f"storm-{number}" for number in range(10)]
KILLS = 20


def vm(name):
    body = manifests.vm(name, "Always", {"name": "data", "dataVolume": {"name": f"{name}-data"}})
    spec = body["spec"]["template"]["spec"]
    spec["volumes"][0]["containerDisk"]["image"] = sector.IDLE
    spec |= {"terminationGracePeriodSeconds": 0, "domain": spec["domain"] | {"memory": {"guest": "32Mi"}}}
    template = {"metadata": {"name": f"{name}-data"}, "spec": manifests.data_volume("x", {"blank": {}}, "8Mi")["spec"]}
    body["spec"]["dataVolumeTemplates"] = [template]
    return body


def kill_loops(platform):
    """Kill them once the supervisor has them up again."""
    for pid in wait_for(lambda: platform.processes("isthmus.operations.control_loops"), 60):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not alive(pid), 5, 0.02)


def assert_none_twice(platform):
    """At most one launcher pod that has not ended for each instance, and one instance for each VM."""
    pods = [p for p in platform.list("pod") if p["status"].get("phase") not in ("Succeeded", "Failed")]
    per_instance = Counter(p["metadata"]["labels"].get("kubevirt.io/created-by") for p in pods)
    assert not per_instance or max(per_instance.values()) == 1, per_instance
    owners = Counter(v["metadata"]["ownerReferences"][0]["uid"] for v in platform.list("vmi"))
    assert not owners or max(owners.values()) == 1, owners


def settled(platform, wanted):
    found = {v["metadata"]["name"]: (v.get("status") or {}).get("printableStatus") for v in platform.list("vm")}
    return found == wanted


@pytest.fixture
def image(platform, tmp_path):
    archive = tmp_path / "idle.tar"
    sector.write(archive, "idle")
    platform.isthmus("image load", str(archive), "--name", sector.IDLE)


def test_loops_killed_at_random_leave_every_vm_as_it_was_asked_to_be(platform, image):
    chance = random.Random(20)
    for name in NAMES:
        platform.create(vm(name))
    wanted = dict.fromkeys(NAMES, "Running")
    for _ in range(KILLS):
        for name in chance.sample(NAMES, 3):
            wanted[name] = "Stopped" if wanted[name] == "Running" else "Running"
            strategy = "Always" if wanted[name] == "Running" else "Halted"
            platform.patch("vm", name, {"spec": {"runStrategy": strategy}})
        time.sleep(chance.uniform(0, 1.5))
        kill_loops(platform)
        assert_none_twice(platform)
        time.sleep(chance.uniform(0, 1.5))
    wait_for(lambda: settled(platform, wanted), 120, why=lambda: (wanted, [platform.describe("vm", n) for n in NAMES]))
    assert_none_twice(platform)
    revisions = platform.kubectl("get", "controllerrevisions", "-o", "name").split()
    assert len({name.rpartition("-")[0] for name in revisions}) == len(revisions)  # one a VM: that of its last start
    for name in chance.sample(NAMES, 5):
        platform.delete("vm", name)
    kill_loops(platform)
    for name in NAMES:
        platform.delete("vm", name)
    for kind in ("vm", "vmi", "pod", "dv", "pvc", "pv"):
        wait_for(lambda kind=kind: not platform.list(kind), 60, why=lambda kind=kind: platform.list(kind))
    assert not platform.kubectl("get", "controllerrevisions", "-o", "name").strip()
    # A directory that was prepared for a machine that never was is found by the agent's collection, once a minute.
    wait_for(lambda: not platform.leftovers()["machines"], 120, why=platform.leftovers)
