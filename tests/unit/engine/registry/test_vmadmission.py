"""Presets, feature gates and the identity of VMs, through the API."""

import pytest

KUBEVIRT = "/apis/kubevirt.io/v1"
VMIS = f"{KUBEVIRT}/namespaces/default/virtualmachineinstances"
VMS = f"{KUBEVIRT}/namespaces/default/virtualmachines"
PRESETS = f"{KUBEVIRT}/namespaces/default/virtualmachineinstancepresets"
PREFERENCES = "/apis/instancetype.kubevirt.io/v1beta1/namespaces/default/virtualmachinepreferences"
SCRATCH = {"name": "d", "emptyDisk": {"capacity": "1Mi"}}


def spec(*volumes, devices=None, **domain):
    listed = volumes or (SCRATCH,)
    disks = [{"name": v["name"], "disk": {"bus": "virtio"}} for v in listed]
    return {"domain": {"devices": {"disks": disks, **(devices or {})}, **domain}, "volumes": list(listed)}


def a_vmi(name="i", body=None, **metadata):
    wanted = body or spec(memory={"guest": "64Mi"})
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, **metadata},
        "spec": wanted,
    }


def a_vm(name="v", body=None, **fields):
    template = {"metadata": {}, "spec": body or spec(memory={"guest": "64Mi"})}
    return {
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": name},
        "spec": {"runStrategy": "Halted", "template": template, **fields},
    }  # fmt: skip


def a_preset(name, **domain):
    selector = {"matchLabels": {"size": "small"}}
    return {
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstancePreset", "metadata": {"name": name},
        "spec": {"selector": selector, "domain": {"devices": {}, **domain}},
    }  # fmt: skip


async def test_a_preset_completes_instances_by_their_labels_and_overrides_nothing(api):
    await api("POST", PRESETS, a_preset("small", resources={"requests": {"memory": "64M"}}, cpu={"cores": 2}), code=201)
    await api("POST", VMIS, a_vmi("other", spec(SCRATCH)), code=422)  # no label, no memory
    made = await api("POST", VMIS, a_vmi("i", spec(cpu={"cores": 4}), labels={"size": "small"}), code=201)
    assert made["spec"]["domain"]["memory"]["guest"] == "64M"
    assert made["spec"]["domain"]["cpu"]["cores"] == 4
    assert made["metadata"]["annotations"]["virtualmachinepreset.kubevirt.io/small"] == "kubevirt.io/v1"
    excluded = {"virtualmachineinstancepresets.admission.kubevirt.io/exclude": "true"}
    await api("POST", VMIS, a_vmi("x", spec(), labels={"size": "small"}, annotations=excluded), code=422)


async def test_a_preset_may_give_memory_alone(api):
    await api("POST", PRESETS, a_preset("small", memory={"guest": "128Mi"}), code=201)
    made = await api("POST", VMIS, a_vmi("i", spec(), labels={"size": "small"}), code=201)
    assert made["spec"]["domain"]["memory"] == {"guest": "128Mi"}
    own = await api("POST", VMIS, a_vmi("j", spec(memory={"guest": "64Mi"}), labels={"size": "small"}), code=201)
    assert own["spec"]["domain"]["memory"] == {"guest": "64Mi"}


async def test_presets_that_contradict_each_other_refuse_the_instance(api):
    await api("POST", PRESETS, a_preset("one", cpu={"cores": 1}), code=201)
    await api("POST", PRESETS, a_preset("two", cpu={"cores": 2}), code=201)
    refused = await api("POST", VMIS, a_vmi(labels={"size": "small"}), code=422)
    assert "presets 'two' and 'one' conflict" in refused["message"]


VSOCK = ({"devices": {"autoattachVSOCK": True}}, "VSOCK feature gate is not enabled in kubevirt-config")
METRICS = ({"devices": {"downwardMetrics": {}}}, "DownwardMetrics feature gate is not enabled")
SHARED = ({"devices": {"filesystems": [{"name": "p", "virtiofs": {}}]}}, "virtiofs is not allowed")


@pytest.mark.parametrize(("fields", "message"), [VSOCK, METRICS, SHARED])
async def test_what_kubevirt_keeps_behind_a_closed_gate_is_refused_in_its_words(api, fields, message):
    claim = {"name": "p", "persistentVolumeClaim": {"claimName": "p"}}
    body = spec(SCRATCH, claim, memory={"guest": "64Mi"}, **fields)
    body["domain"]["devices"]["disks"] = body["domain"]["devices"]["disks"][:1]
    for path, made in ((VMIS, a_vmi(body=body)), (VMS, a_vm(body=body))):
        refused = await api("POST", path, made, code=422)
        assert message in refused["message"]


OF_INSTANCES = [  # fields of the domain, of the spec, what is said
    ({}, {"architecture": "vax"}, "unsupported architecture: vax"),
    ({"devices": {"video": {"type": "qxl"}}}, {}, "video model 'qxl' is not supported on amd64 architecture"),
    ({"devices": {"watchdog": {"name": "w", "diag288": {}}}}, {}, "amd64 only supports I6300ESB watchdog device"),
    (
        {"features": {"hyperv": {"synic": {}, "vpindex": {"enabled": False}}}},
        {},
        "'spec.domain.features.hyperv.synic' requires 'spec.domain.features.hyperv.vpindex', which was disabled.",
    ),
]


@pytest.mark.parametrize(("domain", "fields", "message"), OF_INSTANCES)
async def test_an_instance_is_refused_for_what_its_architecture_has_not(api, domain, fields, message):
    refused = await api("POST", VMIS, a_vmi(body=spec(memory={"guest": "64Mi"}, **domain) | fields), code=422)
    assert message in refused["message"]


async def test_the_administrator_opens_and_closes_gates(api):
    configuration = {"developerConfiguration": {"featureGates": ["VSOCK"], "disabledFeatureGates": ["HostDisk"]}}
    kubevirt = {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "kubevirt"}}
    await api(
        "POST",
        f"{KUBEVIRT}/namespaces/default/kubevirts",
        {**kubevirt, "spec": {"configuration": configuration}},
        code=201,
    )
    await api("POST", VMIS, a_vmi(body=spec(memory={"guest": "64Mi"}, **VSOCK[0])), code=201)
    disk = {"name": "d", "hostDisk": {"path": "/d.img", "type": "Disk"}}
    refused = await api("POST", VMIS, a_vmi("h", spec(disk, memory={"guest": "64Mi"})), code=422)
    assert "HostDisk feature gate is not enabled" in refused["message"]


async def test_a_vm_keeps_the_identity_that_its_creation_gave_it(api):
    made = await api("POST", VMS, a_vm(), code=201)
    template = made["spec"]["template"]["spec"]
    firmware = template["domain"]["firmware"]
    assert len(firmware["uuid"]) == len(firmware["serial"]) == 36
    assert (template["architecture"], template["domain"]["machine"]) == ("amd64", {"type": "q35"})
    again = a_vm()
    again["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    replaced = await api("PUT", f"{VMS}/v", again, code=200)
    assert replaced["spec"]["template"]["spec"]["domain"]["firmware"] == firmware


async def test_a_given_uuid_stands_and_a_preference_gives_the_machine_type(api):
    preference = {"metadata": {"name": "p"}, "spec": {"machine": {"preferredMachineType": "pc-q35-7.1"}}}
    await api("POST", PREFERENCES, preference, code=201)
    uuid = "5d307ca9-b3ef-428c-8861-06e72d69f223"
    body = spec(memory={"guest": "64Mi"}, firmware={"uuid": uuid})
    made = await api(
        "POST", VMS, a_vm(body=body, preference={"name": "p", "kind": "VirtualMachinePreference"}), code=201
    )
    domain = made["spec"]["template"]["spec"]["domain"]
    assert (domain["firmware"]["uuid"], domain["machine"]["type"]) == (uuid, "pc-q35-7.1")
