"""Instance types and preferences, beyond the golden files in tests/golden/controllers/instancetype."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import instancetype, instancetypeinference


@given(
    st.integers(1, 256),
    st.sampled_from(["sockets", "cores", "threads", "any", "spread", "preferSpread", "preferCores"]),
    st.sampled_from([None, "SocketsCores", "CoresThreads", "SocketsCoresThreads"]),
    st.integers(1, 8),
)
def test_every_topology_has_exactly_the_vcpus_that_were_asked_for(count, wanted, across, ratio):
    options = {"ratio": ratio} | ({"across": across} if across else {})
    made = instancetype.topology(count, {"preferredCPUTopology": wanted, "spreadOptions": options})
    assert made["sockets"] * made["cores"] * made["threads"] == count


@pytest.mark.parametrize(
    ("across", "shape"),
    [("SocketsCores", (4, 2, 1)), ("CoresThreads", (1, 4, 2)), ("SocketsCoresThreads", (2, 2, 2))],
)
def test_spread_divides_over_the_levels_that_are_named(across, shape):
    made = instancetype.topology(8, {"preferredCPUTopology": "spread", "spreadOptions": {"across": across}})
    assert (made["sockets"], made["cores"], made["threads"]) == shape


def test_the_vm_that_is_expanded_is_not_changed():
    vm = {"spec": {"template": {"spec": {"domain": {}, "volumes": [{"name": "a"}]}}}}
    before = copy.deepcopy(vm)
    instancetype.expand(
        vm, {"cpu": {"guest": 1}, "memory": {"guest": "1Gi"}}, {"devices": {"preferredDiskBus": "sata"}}
    )
    assert vm == before


def test_the_same_annotation_is_no_conflict_and_another_value_is():
    template = {"metadata": {"annotations": {"a": "1"}}}
    assert instancetype.find_conflicts(template, {"annotations": {"a": "1"}}, {}) == []
    assert instancetype.find_conflicts(template, {}, {"annotations": {"a": "2"}}) == [
        "spec.template.metadata.annotations.a"
    ]


def test_matchers_and_their_references_are_dropped():
    vm = {"spec": {"instancetype": {}, "preference": {}, "x": 1}, "status": {"instancetypeRef": {}, "y": 2}}
    assert instancetype.drop_matchers(vm) == {"spec": {"x": 1}, "status": {"y": 2}}


def test_requirements_that_are_not_met_are_named():
    domain = {"cpu": {"cores": 1}, "memory": {"guest": "512Mi"}}
    vm = {"spec": {"template": {"spec": {"architecture": "amd64", "domain": domain}}}}
    needs = {"requirements": {"cpu": {"guest": 2}, "memory": {"guest": "1Gi"}, "architecture": "arm64"}}
    found = instancetype.unmet_requirements(vm, None, needs)
    assert [path for path, _ in found] == [
        "spec.template.spec.domain.cpu",
        "spec.template.spec.domain.memory.guest",
        "spec.template.spec.architecture",
    ]
    enough = instancetype.unmet_requirements(vm, {"cpu": {"guest": 2}, "memory": {"guest": "2Gi"}}, needs)
    assert [path for path, _ in enough] == ["spec.template.spec.architecture"]


LABELS = {"instancetype.kubevirt.io/default-instancetype": "u1.small"}


def machine(volume, templates=()):
    spec = {"volumes": [{"name": "root"} | volume]}
    matcher = {"instancetype": {"inferFromVolume": "root"}}
    return {"spec": matcher | {"template": {"spec": spec}, "dataVolumeTemplates": list(templates)}}


@pytest.mark.parametrize(
    ("vm", "objects"),
    [
        (
            machine({"persistentVolumeClaim": {"claimName": "c"}}),
            {("PersistentVolumeClaim", "c"): {"metadata": {"labels": LABELS}}},
        ),
        (machine({"dataVolume": {"name": "d"}}), {("DataVolume", "d"): {"metadata": {"labels": LABELS}}}),
        (
            machine({"dataVolume": {"name": "d"}}, [{"metadata": {"name": "d"}, "spec": {"sourceRef": {"name": "s"}}}]),
            {
                ("DataSource", "s"): {"metadata": {}, "spec": {"source": {"pvc": {"name": "g"}}}},
                ("PersistentVolumeClaim", "g"): {"metadata": {"labels": LABELS}},
            },
        ),
    ],
)
def test_a_type_is_inferred_from_what_stands_behind_the_volume(vm, objects):
    found = instancetypeinference.infer(vm, "instancetype", lambda kind, name: objects.get((kind, name)))
    assert found == {"name": "u1.small", "kind": "VirtualMachineClusterInstancetype"}


@pytest.mark.parametrize("volume", [{"containerDisk": {}}, {"persistentVolumeClaim": {"claimName": "c"}}])
def test_what_cannot_be_inferred_says_why(volume):
    with pytest.raises(instancetypeinference.InferenceError, match="root"):
        instancetypeinference.infer(machine(volume), "instancetype", lambda kind, name: None)
