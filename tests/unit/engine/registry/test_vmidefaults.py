"""What an instance is completed with, as KubeVirt's own webhooks do."""

import copy

import pytest

from isthmus.engine.registry.strategies import vmidefaults
from isthmus.machinery.fieldtree import at

PLAIN = {
    "domain": {"memory": {"guest": "64Mi"}, "devices": {"disks": [{"name": "root", "disk": {}}]}},
    "volumes": [{"name": "root", "containerDisk": {"image": "quay.io/x:1"}}],
}


def completed(**changes):
    spec = copy.deepcopy(PLAIN)
    spec["domain"] |= changes.pop("domain", {})
    spec |= changes
    vmidefaults.apply(spec)
    return spec


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("architecture", "amd64"),
        ("evictionStrategy", "None"),
        ("terminationGracePeriodSeconds", 30),
        ("domain.machine.type", "q35"),
        ("domain.cpu", {"sockets": 1, "cores": 1, "threads": 1, "model": "host-model"}),
        ("domain.features", {"acpi": {"enabled": True}}),
        ("domain.devices.interfaces", [{"name": "default", "masquerade": {}}]),
        ("networks", [{"name": "default", "pod": {}}]),
    ],
)
def test_a_plain_instance_says_what_it_will_be(path, value):
    assert at(completed(), path) == value


@pytest.mark.parametrize(("architecture", "machine"), [("arm64", "virt"), ("s390x", "s390-ccw-virtio")])
def test_another_architecture_has_another_machine(architecture, machine):
    assert completed(architecture=architecture)["domain"]["machine"] == {"type": machine}


def test_what_is_given_stays():
    spec = completed(
        architecture="arm64",
        terminationGracePeriodSeconds=0,
        domain={"cpu": {"cores": 2, "model": "Nehalem"}, "machine": {"type": "pc-q35-7.2"}, "devices": {
            "autoattachPodInterface": False}, "features": {"acpi": {"enabled": False}}},
    )  # fmt: skip
    assert spec["domain"]["cpu"] == {"cores": 2, "model": "Nehalem"}
    assert spec["domain"]["machine"] == {"type": "pc-q35-7.2"}
    assert spec["domain"]["features"]["acpi"] == {"enabled": False}
    assert (spec["architecture"], spec["terminationGracePeriodSeconds"], spec.get("networks")) == ("arm64", 0, None)


@pytest.mark.parametrize(
    ("resources", "sockets", "memory"),
    [
        ({"requests": {"cpu": "2500m", "memory": "1Gi"}}, 3, "1Gi"),
        ({"limits": {"cpu": "2", "memory": "2Gi"}}, 2, "2Gi"),
        ({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "4", "memory": "2Gi"}}, 4, "1Gi"),
    ],
)
def test_resources_give_sockets_and_memory(resources, sockets, memory):
    spec = completed(domain={"memory": {}, "resources": resources})
    assert spec["domain"]["cpu"]["sockets"] == sockets
    assert spec["domain"]["memory"]["guest"] == memory


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a/b", "Always"), ("a/b:latest", "Always"), ("a/b:1", "IfNotPresent"), ("r:5000/b:devel", "IfNotPresent"),
     ("a/b@sha256:ab", "IfNotPresent")],
)  # fmt: skip
def test_an_image_without_a_version_is_always_pulled(image, policy):
    spec = completed(volumes=[{"name": "root", "containerDisk": {"image": image}}])
    assert spec["volumes"][0]["containerDisk"]["imagePullPolicy"] == policy


def test_every_drive_has_a_bus_and_a_volume_without_one_gets_a_disk():
    disks = [{"name": "root"}, {"name": "cd", "cdrom": {}}, {"name": "v", "disk": {"bus": "virtio"}}]
    volumes = [*PLAIN["volumes"], {"name": "late", "emptyDisk": {"capacity": "1Mi"}}]
    spec = completed(
        domain={"devices": {"disks": disks, "watchdog": {"name": "w"}, "inputs": [{"name": "t"}]}}, volumes=volumes
    )
    devices = spec["domain"]["devices"]
    assert devices["disks"] == [
        {"name": "root", "disk": {"bus": "sata"}},
        {"name": "cd", "cdrom": {"bus": "sata", "readonly": True, "tray": "closed"}},
        {"name": "v", "disk": {"bus": "virtio"}},
        {"name": "late", "disk": {"bus": "sata"}},
    ]
    assert devices["watchdog"]["i6300esb"] == {"action": "reset"}
    assert devices["inputs"] == [{"name": "t", "bus": "usb", "type": "tablet"}]


def test_features_of_hyper_v_bring_what_they_need_unless_it_was_switched_off():
    spec = completed(domain={"features": {"smm": {}, "hyperv": {"synictimer": {}, "spinlocks": {}}}})
    assert spec["domain"]["features"]["hyperv"] == {
        "synictimer": {"enabled": True},
        "spinlocks": {"enabled": True, "spinlocks": 4096},
        "synic": {"enabled": True},
        "vpindex": {"enabled": True},
    }
    assert spec["domain"]["features"]["smm"] == {"enabled": True}
    off = completed(domain={"features": {"hyperv": {"synic": {}, "vpindex": {"enabled": False}}}})
    assert off["domain"]["features"]["hyperv"]["vpindex"] == {"enabled": False}


def test_a_probe_gets_kubernetes_numbers():
    probe = completed(livenessProbe={"guestAgentPing": {}, "periodSeconds": 3})["livenessProbe"]
    numbers = {"timeoutSeconds": 1, "periodSeconds": 3, "successThreshold": 1, "failureThreshold": 3}
    assert probe == {"guestAgentPing": {}, **numbers}
