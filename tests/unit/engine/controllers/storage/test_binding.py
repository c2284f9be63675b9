"""Claims and volumes: which goes with which, and where."""

from pathlib import PurePath

import pytest

from isthmus.engine.controllers.storage import binding


def claim(name="c", size="1Gi", storage_class="local", uid="u1", **extra):
    metadata = {"name": name, "namespace": "ns", "uid": uid, "annotations": extra.pop("annotations", {})}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": metadata, "spec": spec | {"storageClassName": storage_class} | extra}


def volume(name="v", size="1Gi", storage_class="local", reference=None, **extra):
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "claimRef": reference,
    }
    status = {"status": {"phase": "Available"}}
    return {"metadata": {"name": name, "labels": extra.pop("labels", {})}, "spec": spec | extra} | status


def node(name, **spec):
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": spec}


def reference(uid="u1", name="c"):
    return {"namespace": "ns", "name": name, "uid": uid}


def test_the_smallest_volume_that_fits_is_taken():
    volumes = [volume("big", "9Gi"), volume("fit", "2Gi"), volume("small", "1Mi"), volume("other", storage_class="x")]
    assert binding.find_volume(claim(size="2Gi"), volumes)["metadata"]["name"] == "fit"


@pytest.mark.parametrize(
    "misfit",
    [
        volume(size="1Mi"),
        volume(storage_class=""),
        volume(accessModes=["ReadOnlyMany"]),
        volume(volumeMode="Block"),
        volume(reference=reference("other", "d")),
    ],
)
def test_a_volume_that_does_not_fit_is_left(misfit):
    assert binding.find_volume(claim(), [misfit]) is None


def test_a_selector_chooses_among_volumes():
    wanted = claim(selector={"matchLabels": {"tier": "gold"}})
    assert binding.find_volume(wanted, [volume()]) is None
    assert binding.find_volume(wanted, [volume(labels={"tier": "gold"})]) is not None


def test_the_volume_that_is_named_or_promised_comes_first():
    promised = volume("p", "8Gi", reference=reference())
    assert binding.find_volume(claim(), [volume(), promised]) is promised
    assert (
        binding.find_volume(claim(volumeName="n"), [volume(), promised, volume("n", "1Ki")])["metadata"]["name"] == "n"
    )
    assert binding.find_volume(claim(volumeName="missing"), [volume()]) is None


def test_a_volume_is_made_on_the_only_node_or_where_the_scheduler_says():
    assert binding.choose_node(claim(), [node("a")]) == "a"
    assert binding.choose_node(claim(), [node("a"), node("b", unschedulable=True)]) == "a"
    assert binding.choose_node(claim(), [node("a"), node("b")]) is None
    chosen = claim(annotations={binding.SELECTED_NODE: "b"})
    assert binding.choose_node(chosen, [node("a"), node("b")]) == "b"
    assert binding.choose_node(claim(), []) is None


def test_a_claim_that_asks_to_be_bound_at_once_need_not_wait_for_its_consumer():
    at_once = claim(annotations={binding.IMMEDIATE: "true"})
    assert binding.choose_node(at_once, [node("b"), node("a")]) in {"a", "b"}
    assert binding.choose_node(at_once, [node("b"), node("a")]) == binding.choose_node(at_once, [node("a"), node("b")])


def test_a_volume_is_tied_to_its_node_and_promised_to_its_claim():
    made = binding.build_volume(claim(), binding.build_storage_class(), node("a"), PurePath("/home/nodes/a/volumes"))
    assert made["spec"]["local"]["path"] == "/home/nodes/a/volumes/pvc-u1"
    assert made["spec"]["claimRef"]["uid"] == "u1"
    assert binding.find_volume(claim(), [made]) is made


def test_the_fate_of_a_volume_follows_its_claim():
    ours = volume(reference=reference(), persistentVolumeReclaimPolicy="Delete")
    ours["metadata"]["annotations"] = {binding.PROVISIONED_BY: binding.PROVISIONER}
    assert binding.fate(volume(), None) == binding.Fate("Available")
    assert binding.fate(ours, claim(volumeName="v")) == binding.Fate("Bound")
    assert binding.fate(ours, claim()) == binding.Fate("Available")
    assert binding.fate(ours, None) == binding.Fate("Released", delete=True)
    assert binding.fate(ours, claim(uid="successor", volumeName="v")) == binding.Fate("Released", delete=True)
    foreign = volume(reference=reference(), persistentVolumeReclaimPolicy="Delete")
    assert binding.fate(foreign, None) == binding.Fate("Released")
    kept = volume(reference={"namespace": "ns", "name": "later"})
    assert binding.fate(kept, None) == binding.Fate("Available")


def test_a_claim_is_used_by_pods_that_have_not_ended():
    pod = {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}, "status": {"phase": "Running"}}
    assert binding.is_used(claim(), [pod])
    assert not binding.is_used(claim(), [pod | {"status": {"phase": "Failed"}}])
    assert not binding.is_used(claim("other"), [pod])


def test_the_youngest_default_class_counts():
    def storage_class(name, created, marked="true"):
        metadata = {"name": name, "creationTimestamp": created, "annotations": {binding.DEFAULT_CLASS: marked}}
        return {"metadata": metadata}

    classes = [storage_class("a", "2026"), storage_class("b", "2027"), storage_class("c", "2028", "false")]
    assert binding.default_class(classes) == "b"
    assert binding.default_class(classes[2:]) is None
