import pytest

from isthmus.engine.node import capacity, graceperiods, launchers, podstatus, portforward, status
from isthmus.engine.node.vm.machine import Host
from isthmus.lib import clock

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
VMI = {
    "metadata": {"name": "vm", "namespace": "ns", "uid": "u"},
    "spec": {
        "domain": {"memory": {"guest": "1Gi"}},
        "volumes": [
            {"name": "root", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "seed", "cloudInitNoCloud": {}},
        ],
    },
    "status": {"phase": "Scheduled", "conditions": [{"type": "DataVolumesReady", "status": "True"}]},
}
RECORD = {
    "machineType": "pc-q35-7.2",
    "topology": {"sockets": 1, "cores": 2, "threads": 1},
    "memory": 1 << 30,
    "nics": [
        {
            "name": "default",
            "mac": "02:00:00:00:00:01",
            "pod_ip": "10.42.0.9",
            "addresses": ["10.0.2.2/24"],
            "tap": "tap0",
        }
    ],
    "disks": [{"name": "root", "bus": "virtio"}, {"name": "seed", "bus": "sata"}],
}


def facts(**changes):
    return status.Facts(**{"node": "n1", "phase": "Running", "record": RECORD, "accelerator": "tcg", **changes})


def condition(found, kind):
    return next((c for c in found["conditions"] if c["type"] == kind), None)


def test_a_running_machine_says_that_it_is_emulated_and_leaves_ready_to_the_controller():
    found = status.build_status(VMI, facts(), NOW)
    assert found["phase"] == "Running"
    assert condition(found, "Ready") is None
    assert condition(found, "SoftwareEmulation")["reason"] == "KVMNotAvailable"
    assert condition(status.build_status(VMI, facts(accelerator="kvm"), NOW), "SoftwareEmulation") is None


def test_conditions_of_others_are_kept():
    assert condition(status.build_status(VMI, facts(), NOW), "DataVolumesReady")


def test_the_same_facts_change_nothing():
    first = status.build_status(VMI, facts(), NOW)
    again = status.build_status({**VMI, "status": {**VMI["status"], **first}}, facts(), LATER)
    assert status.changed({**VMI["status"], **first}, again) == {}


def test_a_condition_that_another_wrote_in_the_same_sense_is_not_rewritten():
    theirs = {"type": "Paused", "status": "True", "reason": "PausedByUser", "lastTransitionTime": NOW}
    theirs["message"] = status.PAUSED_REASONS["paused"][1]
    vmi = {**VMI, "status": {**VMI["status"], "phase": "Running", "conditions": [theirs]}}
    assert condition(status.build_status(vmi, facts(state="paused"), LATER), "Paused") is theirs


def test_pausing_and_the_agent_come_and_go():
    found = status.build_status(VMI, facts(state="paused", agent_connected=True), NOW)
    assert condition(found, "Paused")["reason"] == "PausedByUser"
    assert condition(found, "AgentConnected")
    after = status.build_status({**VMI, "status": found}, facts(), LATER)
    assert condition(after, "Paused") is None
    assert condition(after, "AgentConnected") is None


def test_an_io_error_pauses_with_its_own_reason():
    assert condition(status.build_status(VMI, facts(state="io-error"), NOW), "Paused")["reason"] == "PausedIOError"


def test_behind_a_masquerade_the_pods_address_is_told():
    guest = [{"name": "enp1s0", "mac": "02:00:00:00:00:01", "addresses": ["10.0.2.2"]}]
    (interface,) = status.build_status(VMI, facts(guest_interfaces=guest), NOW)["interfaces"]
    assert interface["ipAddress"] == "10.42.0.9"
    assert interface["interfaceName"] == "enp1s0"
    assert interface["infoSource"] == "domain, guest-agent"


def test_volumes_have_the_names_of_their_devices():
    claim = status.Claim("c", ("ReadWriteOnce",), "Filesystem", "1Gi", "1Gi")
    root, seed = status.build_status(VMI, facts(claims={"root": claim}), NOW)["volumeStatus"]
    assert (root["target"], seed["target"]) == ("vda", "sda")
    assert root["persistentVolumeClaimInfo"]["claimName"] == "c"


def test_a_local_claim_is_why_it_cannot_migrate():
    found = status.build_status(VMI, facts(claims={"root": status.Claim("c", ("ReadWriteOnce",))}), NOW)
    assert condition(found, "LiveMigratable")["reason"] == "DisksNotLiveMigratable"


def test_the_last_status_keeps_what_the_machine_was():
    running = {**VMI, "status": status.build_status(VMI, facts(agent_connected=True), NOW)}
    final = status.build_final(running, "Succeeded", "Shutdown", "the guest shut down", LATER)
    assert condition(final, "Ready")["reason"] == "GuestNotRunning"
    assert condition(final, "AgentConnected") is None
    assert [stamp["phase"] for stamp in final["phaseTransitionTimestamps"]] == ["Running", "Succeeded"]
    assert "interfaces" not in final


@pytest.mark.parametrize(("number", "name"), [(0, "a"), (25, "z"), (26, "aa"), (27, "ab"), (701, "zz"), (702, "aaa")])
def test_disks_are_lettered(number, name):
    assert status.letters(number) == name


POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "compute", "image": "i"}]}, "status": {}}


def test_a_pod_goes_from_waiting_through_running_to_its_end():
    waiting = podstatus.waiting(POD, "ErrImagePull", "no such image", NOW)
    assert waiting["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull"
    running = podstatus.running({**POD, "status": waiting}, "192.0.2.1", ["10.42.0.9"], NOW)
    assert running["podIPs"] == [{"ip": "10.42.0.9"}]
    end = podstatus.ended({**POD, "status": running}, podstatus.Ended(3, "Error", "boom"), LATER)
    terminated = end["containerStatuses"][0]["state"]["terminated"]
    assert (end["phase"], terminated["exitCode"], terminated["startedAt"]) == ("Failed", 3, NOW)


def deleted(spec=None, at="2026-01-01T00:00:10Z"):
    return {"metadata": {"deletionTimestamp": at}, "spec": spec or {}}


ALIVE = {"metadata": {}, "spec": {}}


@pytest.mark.parametrize(
    ("vmi", "pod", "seconds"),
    [
        (ALIVE, ALIVE, None),
        (deleted(), ALIVE, 30),
        (deleted({"terminationGracePeriodSeconds": 5}), ALIVE, 5),
        (deleted({"terminationGracePeriodSeconds": 0}), ALIVE, 0),
        (ALIVE, deleted(), 0),
        (ALIVE, deleted(at="2026-01-01T00:00:30Z"), 20),
        (deleted(), deleted(at="2026-01-01T00:00:30Z"), 20),
        (ALIVE, None, 0),  # without its Pod a machine has no time
    ],
)
def test_the_deadline_is_the_nearest(vmi, pod, seconds):
    now = clock.parse("2026-01-01T00:00:10Z")
    deadlines = graceperiods.Deadlines(lambda: now, lambda: 0.0)
    assert deadlines.find("u", launchers.find_notices(vmi, pod)) == seconds


def test_a_port_is_reached_at_the_pod_or_by_a_forward_of_the_host():
    assert portforward.find_target(RECORD, 22, "tcp") == ("10.42.0.9", 22)
    forward = {"protocol": "TCP", "port": 22, "host": "127.0.0.1", "host_port": 40022}
    user = {"nics": [{"tap": "", "forwards": [forward], "pod_ip": "127.0.0.1"}]}
    assert portforward.find_target(user, 22, "tcp") == ("127.0.0.1", 40022)
    assert portforward.find_target(user, 80, "tcp") is None


def test_a_node_tells_what_it_has():
    found = capacity.Resources(2, 8 << 30, 4 << 30, 100 << 30, 50 << 30)
    node = capacity.build_status("n1", "192.0.2.1", Host("q", (7, 2, 0), "tcg"), found, {}, NOW)
    assert node["capacity"]["cpu"] == "2"
    assert node["capacity"]["memory"] == "8Gi"
    assert node["capacity"]["devices.kubevirt.io/kvm"] == "0"
    assert next(c for c in node["conditions"] if c["type"] == "Ready")["status"] == "True"
    tight = capacity.Resources(2, 8 << 30, 1 << 20, 100 << 30, 1 << 30)
    pressed = capacity.build_status("n1", "192.0.2.1", Host("q", (7, 2, 0), "kvm"), tight, {}, NOW)
    assert {c["type"] for c in pressed["conditions"] if c["status"] == "True"} == {
        "Ready",
        "MemoryPressure",
        "DiskPressure",
    }


def test_meminfo_is_read_as_bytes():
    assert capacity.parse_meminfo("MemTotal:  16 kB\nHugePages_Total:  3\n") == {
        "MemTotal": 16384,
        "HugePages_Total": 3,
    }
