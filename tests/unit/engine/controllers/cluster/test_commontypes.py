"""The instance types and preferences that a cluster begins with."""

import pytest

from isthmus.engine.controllers.cluster import commontypes
from isthmus.machinery import instancetype

TYPES = {o["metadata"]["name"]: o for o in commontypes.instancetypes()}
PREFERENCES = {o["metadata"]["name"]: o for o in commontypes.preferences()}


@pytest.mark.parametrize(
    ("name", "vcpus", "memory"),
    [("u1.medium", 1, "4Gi"), ("u1.2xmedium", 2, "4Gi"), ("cx1.large1gi", 2, "4Gi"), ("n1.8xlarge", 64, "128Gi")],
)
def test_a_size_has_the_cpus_and_memory_that_its_name_promises(name, vcpus, memory):
    spec = TYPES[name]["spec"]
    assert (spec["cpu"]["guest"], spec["memory"]["guest"]) == (vcpus, memory)


def test_a_family_gives_its_sizes_what_makes_it_one():
    assert TYPES["o1.small"]["spec"]["memory"] == {"overcommitPercent": 50, "guest": "2Gi"}
    assert TYPES["cx1.medium1gi"]["spec"]["memory"]["hugepages"] == {"pageSize": "1Gi"}
    labels = TYPES["rt1.micro"]["metadata"]["labels"]
    assert labels["instancetype.kubevirt.io/hugepages"] == "1Gi"
    assert labels["instancetype.kubevirt.io/realtime"] == "true"


def test_later_traits_of_a_preference_win():
    plain, virtio = (PREFERENCES[n]["spec"]["devices"] for n in ("windows.2k22", "windows.2k22.virtio"))
    assert (plain["preferredDiskBus"], virtio["preferredDiskBus"]) == ("sata", "virtio")
    assert PREFERENCES["windows.11"]["spec"]["firmware"]["preferredEfi"] == {"persistent": True, "secureBoot": True}


def test_the_guides_pair_of_u1_medium_and_fedora_expands_without_a_conflict():
    spec = {"domain": {"devices": {}}, "volumes": [{"name": "root", "containerDisk": {"image": "example/os"}}]}
    vm = {"metadata": {"name": "v", "namespace": "n"}, "spec": {"runStrategy": "Always", "template": {"spec": spec}}}
    out = instancetype.expand(vm, TYPES["u1.medium"]["spec"], PREFERENCES["fedora"]["spec"])
    assert not out.conflicts
    domain = out.vm["spec"]["template"]["spec"]["domain"]
    assert domain["memory"]["guest"] == "4Gi"
    assert domain["devices"]["disks"] == [{"name": "root", "disk": {"bus": "virtio"}}]


def test_every_preference_asks_for_no_more_than_some_type_gives():
    for preference in PREFERENCES.values():
        needed = (preference["spec"].get("requirements") or {}).get("cpu", {}).get("guest", 1)
        assert needed <= max(t["spec"]["cpu"]["guest"] for t in TYPES.values())
    assert len(TYPES) > 60
