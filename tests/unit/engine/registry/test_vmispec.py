"""The rules of a VMI's spec, in KubeVirt's words: what it refuses, and above all what it accepts."""

import copy

import pytest

from isthmus.engine.registry.strategies import vmispec

GOOD = {
    "domain": {
        "cpu": {"cores": 2},
        "memory": {"guest": "1Gi"},
        "devices": {
            "disks": [{"name": "root", "disk": {"bus": "virtio"}, "bootOrder": 1}, {"name": "cd", "cdrom": {}}],
            "interfaces": [{"name": "default", "masquerade": {}, "ports": [{"port": 22}]}],
        },
    },
    "networks": [{"name": "default", "pod": {}}],
    "volumes": [{"name": "root", "dataVolume": {"name": "d"}}, {"name": "ci", "cloudInitNoCloud": {"userData": "x"}}],
}


def messages(change=None) -> list[str]:
    spec = copy.deepcopy(GOOD)
    if change:
        change(spec, spec["domain"], spec["domain"]["devices"])
    return [c.message for c in vmispec.validate(spec, "spec")]


def assign(where: str, **values):
    def change(spec, domain, devices) -> None:
        target = {"spec": spec, "domain": domain, "devices": devices, "disk": devices["disks"][0],
                  "interface": devices["interfaces"][0], "network": spec["networks"][0], "volume": spec["volumes"][0]}[where]  # fmt: skip  # noqa: E501
        target.update(values)

    return change


ACCEPTED = [
    assign("domain", memory={}),  # of a template: an instance type may come, or a LimitRange
    assign("disk", disk=None, lun={"bus": "usb"}),
    assign("spec", terminationGracePeriodSeconds=-1),
    assign("interface", masquerade=None, sriov={}),
    assign("interface", ports=[{"port": 22}, {"port": 22, "protocol": "UDP"}]),
    assign("interface", macAddress="02-00-00-00-00-01"),
    assign("interface", macAddress="0200.0000.0001"),
    assign("domain", resources={"requests": {"memory": "1Gi", "cpu": "100m"}, "limits": {"cpu": "0"}}),
    assign("domain", firmware={"bootloader": {"efi": {"secureBoot": False}}}),
    assign("domain", machine={"type": "pc-q35-rhel9.6.0"}),
    assign("spec", networks=[], domain={"devices": {}}, volumes=[]),
    assign("spec", evictionStrategy="External", startStrategy="Paused", subdomain="a.b"),
    assign("volume", dataVolume=None, memoryDump={"claimName": "c"}),
]


@pytest.mark.parametrize("change", ACCEPTED)
def test_what_kubevirt_accepts_is_accepted(change) -> None:
    assert messages(change) == []


W = "spec.domain.devices"
I0, D0, V0 = f"{W}.interfaces[0]", f"{W}.disks[0]", "spec.volumes[0]"
LONG_MAC = "00:00:00:00:00:00:00:01"
REFUSED = [
    (assign("disk", name="x"), f"{D0}.Name 'x' not found."),
    (assign("disk", disk={"bus": "nvme"}), f"{D0} is set with an unrecognized bus nvme, must be one of: [virtio scsi "),
    (assign("disk", disk={"bus": "ide"}), "IDE bus is not supported"),
    (assign("disk", disk=None, cdrom={"bus": "virtio"}), "Bus type virtio is invalid for CD-ROM device"),
    (assign("disk", cdrom={}), f"{D0} can only have a single target type defined"),
    (assign("disk", bootOrder=0), f"{D0} must have a boot order > 0, if supplied"),
    (assign("disk", serial="a b"), f"{D0} must be made up of the following characters [A-Za-z0-9_.+-], if specified"),
    (assign("volume", name="ci"), f"spec.volumes[1] and {V0} must not have the same Name."),
    (assign("volume", dataVolume=None), f"{V0} must have exactly one source type set"),
    (
        assign("volume", dataVolume=None, cloudInitNoCloud={"userData": "x" * 2049}),
        f"{V0}.cloudInitNoCloud userdata exceeds 2048 byte limit. Should use UserDataSecretRef for larger data.",
    ),
    (
        assign("volume", dataVolume=None, cloudInitNoCloud={}),
        f"{V0}.cloudInitNoCloud must have at least one userdatasource or one networkdatasource set.",
    ),
    (
        assign("volume", dataVolume=None, containerDisk={"image": "i", "path": "../x"}),
        f"{V0}.containerDisk must be an absolute path to a file without relative components",
    ),
    (
        assign("interface", masquerade=None),
        "logical default interface must have exactly one binding method or binding plugin",
    ),
    (assign("interface", macAddress="zz"), f"interface {I0}.name has malformed MAC address (zz)."),
    (assign("interface", macAddress=LONG_MAC), f"interface {I0}.name has too long MAC address ({LONG_MAC})."),
    (assign("interface", model="ne1000"), f"interface {I0}.name uses model ne1000 that is not supported."),
    (assign("network", name="n"), f"{I0}.name 'default' not found."),
    (
        assign("network", pod=None, multus={"networkName": "m"}),
        "Masquerade interface only implemented with pod network",
    ),
    (assign("spec", hostname="A"), "spec.hostname does not conform to the kubernetes DNS_LABEL rules : "),
    (
        assign("domain", machine={"type": "pc"}),
        "spec.domain.machine.type is not supported: pc (allowed values: [q35* pc-q35*])",
    ),
    (
        assign("domain", firmware={"bootloader": {"efi": {}}}),
        "spec.domain has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled.",
    ),
    (
        assign("domain", resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
        "spec.domain.resources.requests.memory '2Gi' is greater than spec.domain.resources.limits.memory '1Gi'",
    ),
    (
        assign("domain", cpu={"sockets": 4, "maxSockets": 2}),
        "Number of sockets in CPU topology is greater than the maximum sockets allowed",
    ),
    (
        assign("domain", cpu={"isolateEmulatorThread": True}),
        "IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement",
    ),
    (assign("spec", livenessProbe={}), "either spec.livenessProbe.tcpSocket, spec.livenessProbe.exec or "),
    (assign("spec", accessCredentials=[{}]), "spec.accessCredentials[0] must have exactly one access credential "),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_kubevirt_refuses_is_refused_in_its_words(change, message) -> None:
    assert any(said.startswith(message) for said in messages(change)), messages(change)
