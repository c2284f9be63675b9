"""What reaches a running guest, and what waits for a restart."""

import copy

import pytest

from isthmus.engine.controllers.virtualization import liveupdate
from isthmus.machinery import conditions
from isthmus.machinery.fieldtree import put

STARTED = {
    "domain": {
        "cpu": {"sockets": 1, "cores": 2},
        "memory": {"guest": "2Gi"},
        "devices": {"disks": [{"name": "root", "disk": {}}], "interfaces": [{"name": "default", "masquerade": {}}]},
    },
    "networks": [{"name": "default", "pod": {}}],
    "volumes": [{"name": "root", "containerDisk": {"image": "x"}}],
}
VMI = {
    "metadata": {},
    "spec": copy.deepcopy(STARTED),
    "status": {
        "conditions": [conditions.build("LiveMigratable", True)],
        "memory": {"guestAtBoot": "2Gi"},
        "interfaces": [{"name": "default"}],
    },
}


def changed(**paths):
    wanted = copy.deepcopy(STARTED)
    for path, value in paths.items():
        put(wanted, path.replace("__", "."), value)
    return wanted


def compare(wanted, vmi=VMI, started=STARTED, **options):
    return liveupdate.compare(started, wanted, vmi, **options)


def test_nothing_changed_is_nothing_to_do():
    update = compare(copy.deepcopy(STARTED))
    assert (update.spec, update.reasons) == ({}, [])


def test_sockets_grow_up_to_four_times_and_nothing_else_of_the_cpu_changes():
    assert compare(changed(domain__cpu__sockets=4)).spec == {"domain.cpu.sockets": 4}
    assert compare(changed(domain__cpu__sockets=5)).reasons == ["spec.template.spec.domain.cpu.sockets"]
    assert compare(changed(domain__cpu__cores=4)).reasons == ["spec.template.spec.domain.cpu.cores"]


def test_fewer_sockets_than_run_need_a_restart():
    grown = copy.deepcopy(VMI)
    put(grown["spec"], "domain.cpu.sockets", 4)
    assert compare(changed(domain__cpu__sockets=2), grown).restart_required
    assert compare(changed(domain__cpu__sockets=4), grown).spec == {}


@pytest.mark.parametrize(
    ("guest", "reaches"), [("4Gi", True), ("8Gi", True), ("16Gi", False), ("1Gi", False), ("2049Mi", False)]
)
def test_memory_grows_within_its_limit_in_whole_steps(guest, reaches):
    update = compare(changed(domain__memory__guest=guest))
    assert (update.spec == {"domain.memory.guest": guest}) is reaches
    assert update.restart_required is not reaches


def test_memory_of_a_guest_that_cannot_migrate_needs_a_restart():
    fixed = copy.deepcopy(VMI)
    fixed["status"]["conditions"] = [conditions.build("LiveMigratable", False)]
    assert compare(changed(domain__memory__guest="4Gi"), fixed).restart_required


def test_what_cannot_reach_a_guest_that_cannot_migrate_waits_for_a_restart():
    fixed = copy.deepcopy(VMI)
    fixed["status"]["conditions"] = [conditions.build("LiveMigratable", False)]
    assert compare(changed(domain__cpu__sockets=2), fixed).restart_required
    nics = [*STARTED["domain"]["devices"]["interfaces"], {"name": "lan", "bridge": {}}]
    networks = [*STARTED["networks"], {"name": "lan", "multus": {"networkName": "lan"}}]
    assert compare(changed(networks=networks, domain__devices__interfaces=nics), fixed).restart_required
    claim = {"claimName": "more", "hotpluggable": True}
    volumes = [*STARTED["volumes"], {"name": "more", "persistentVolumeClaim": claim}]
    disks = [*STARTED["domain"]["devices"]["disks"], {"name": "more", "disk": {"bus": "scsi"}}]
    assert compare(changed(volumes=volumes, domain__devices__disks=disks), fixed).restart_required


def test_with_the_stage_strategy_every_such_change_waits():
    update = compare(changed(domain__cpu__sockets=2, nodeSelector={"a": "b"}), strategy="Stage")
    assert update.reasons == ["spec.template.spec.domain.cpu.sockets", "spec.template.spec.nodeSelector.a"]


def test_placement_is_handed_on_and_taken_back():
    assert compare(changed(nodeSelector={"a": "b"})).spec == {"nodeSelector": {"a": "b"}}
    placed = copy.deepcopy(VMI)
    placed["spec"]["nodeSelector"] = {"a": "b"}
    assert compare(copy.deepcopy(STARTED), placed).spec == {"nodeSelector": None}


def test_a_secondary_bridge_nic_comes_live_and_a_pod_nic_does_not():
    nic = {"name": "lan", "bridge": {}}
    networks = [*STARTED["networks"], {"name": "lan", "multus": {"networkName": "lan"}}]
    interfaces = [*STARTED["domain"]["devices"]["interfaces"], nic]
    update = compare(changed(networks=networks, domain__devices__interfaces=interfaces))
    assert update.spec["domain.devices.interfaces"] == interfaces
    networks[1] = {"name": "lan", "pod": {}}
    assert compare(changed(networks=networks, domain__devices__interfaces=interfaces)).restart_required


def test_a_nic_goes_by_way_of_absent():
    nic = {"name": "lan", "bridge": {}}
    networks = [*STARTED["networks"], {"name": "lan", "multus": {"networkName": "lan"}}]
    two = [*STARTED["domain"]["devices"]["interfaces"], nic]
    started = changed(networks=networks, domain__devices__interfaces=two)
    absent = [two[0], nic | {"state": "absent"}]
    marked = changed(networks=networks, domain__devices__interfaces=absent)
    assert compare(marked, started=started).spec["domain.devices.interfaces"] == absent
    assert not compare(copy.deepcopy(STARTED), started=marked).restart_required
    assert compare(copy.deepcopy(STARTED), started=started).restart_required


def test_a_hotpluggable_volume_comes_with_its_disk_and_a_fixed_one_waits():
    disks = [*STARTED["domain"]["devices"]["disks"], {"name": "more", "disk": {"bus": "scsi"}}]
    for hotpluggable in (True, False):
        claim = {"claimName": "more", "hotpluggable": hotpluggable}
        volumes = [*STARTED["volumes"], {"name": "more", "persistentVolumeClaim": claim}]
        update = compare(changed(volumes=volumes, domain__devices__disks=disks))
        assert update.restart_required is not hotpluggable
        assert ("volumes" in update.spec) is hotpluggable


def test_one_change_that_must_wait_holds_the_others_back():
    update = compare(changed(domain__cpu__sockets=2, domain__machine__type="q35"))
    assert update.spec == {}
    assert update.reasons == ["spec.template.spec.domain.machine.type"]


def test_absent_and_empty_are_the_same():
    assert liveupdate.differences({"a": {}, "b": []}, {"c": None, "d": ""}) == []
