"""VMs on a running platform, by what virtctl and kubectl send: power, pauses, consoles, agent, status, columns.

One VM does nearly all of it, in the order of a person's day; the tests that change its run strategy put it back.
"""

import json
import os
import re
import signal
import time

import pytest
from tests.e2e import manifests
from tests.e2e.platform import ApiError, get_condition, wait_for

pytestmark = pytest.mark.e2e
NAME = "day"


@pytest.fixture(scope="module")
def day(running_platform):
    """A VM that runs, under the strategy Manual: it is started, and stays down when it has shut down."""
    with running_platform.space.entered():
        running_platform.create(manifests.vm(NAME, "Always"))
        running_platform.wait_condition("vm", NAME, "Ready", 60)
    yield NAME
    with running_platform.space.entered():
        running_platform.delete("vm", NAME)
        running_platform.wait_gone("vmi", NAME)


def uid_of(platform, name=NAME):
    found = platform.find("vmi", name)
    return found["metadata"]["uid"] if found else None


def wait_new_vmi(platform, old, name=NAME):
    return wait_for(lambda: (now := uid_of(platform, name)) and now != old and now, 60)


def test_a_vm_that_is_created_runs_and_its_status_says_so(platform, virtctl, day):
    vm, vmi = platform.get("vm", day), platform.get("vmi", day)
    assert vm["status"]["printableStatus"] == "Running"
    assert vm["status"]["created"] and vm["status"]["ready"]
    assert vmi["status"]["phase"] == "Running"
    assert vmi["status"]["nodeName"] == platform.node
    phases = [entry["phase"] for entry in vmi["status"]["phaseTransitionTimestamps"]]
    assert phases == ["Pending", "Scheduling", "Scheduled", "Running"]
    assert get_condition(vmi, "Ready")["status"] == "True"
    assert get_condition(vmi, "SoftwareEmulation")["reason"] == "KVMNotAvailable"
    assert get_condition(vm, "Ready")["status"] == "True"
    assert vmi["metadata"]["ownerReferences"][0]["uid"] == vm["metadata"]["uid"]
    assert vmi["metadata"]["labels"]["app"] == day


def test_its_launcher_pod_is_a_pod_like_any_other(platform, day):
    vmi = platform.get("vmi", day)
    [pod] = platform.list("pod", query=f"labelSelector=vm.kubevirt.io/name={day}")
    labels = pod["metadata"]["labels"]
    assert pod["metadata"]["name"].startswith(f"virt-launcher-{day}-")
    assert (labels["kubevirt.io"], labels["kubevirt.io/created-by"]) == ("virt-launcher", vmi["metadata"]["uid"])
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["podIP"] == vmi["status"]["interfaces"][0]["ipAddress"]
    assert pod["status"]["qosClass"] in ("Burstable", "BestEffort", "Guaranteed")


def test_kubectl_shows_kubevirts_columns(platform, day):
    heading, row = platform.kubectl("get", "vm", day).splitlines()
    assert heading.split() == ["NAME", "AGE", "STATUS", "READY"]
    assert row.split()[0] == day and row.split()[2:] == ["Running", "True"]
    heading, row = platform.kubectl("get", "vmi", day, "-o", "wide").splitlines()
    assert heading.split() == ["NAME", "AGE", "PHASE", "IP", "NODENAME", "READY", "LIVE-MIGRATABLE", "PAUSED"]
    vmi = platform.get("vmi", day)
    assert row.split()[2:6] == ["Running", vmi["status"]["interfaces"][0]["ipAddress"], platform.node, "True"]
    assert platform.kubectl("wait", f"vm/{day}", "--for=condition=Ready", "--timeout=5s")


def test_the_guest_agent_tells_system_and_addresses(platform, virtctl, day):
    vmi = platform.wait_condition("vmi", day, "AgentConnected", 60)
    vmi = wait_for(lambda: (v := platform.get("vmi", day))["status"].get("guestOSInfo", {}).get("id") and v, 20)
    assert vmi["status"]["guestOSInfo"]["id"] == "tiny"
    assert vmi["status"]["guestOSInfo"]["prettyName"] == "Isthmus tiny guest 1"
    [card] = [i for i in vmi["status"]["interfaces"] if i.get("name") == "default"]
    assert card["infoSource"] == "domain, guest-agent"
    assert card["interfaceName"] == "eth0"
    info = virtctl.guestosinfo(day)
    assert info["kind"] == "VirtualMachineInstanceGuestAgentInfo"
    assert info["os"]["id"] == "tiny" and info["guestAgentVersion"]
    assert {"name": "guest-shutdown", "enabled": True} in [
        {k: c[k] for k in ("name", "enabled")} for c in info["supportedCommands"]
    ]
    disks = virtctl.fslist(day)["items"]
    assert any(d["mountPoint"] == "/disk" and d["fileSystemType"] == "ext4" for d in disks), disks
    assert virtctl.userlist(day)["kind"] == "VirtualMachineInstanceGuestOSUserList"


def test_the_console_is_a_terminal_and_a_second_one_ends_the_first(platform, virtctl, day):
    first = virtctl.console(day).login()
    assert first.run("cat /proc/sys/kernel/hostname") == "tiny"
    second = virtctl.console(day)
    assert first.closed()
    second.login()
    assert second.run("echo $((6 * 7))") == "42"
    second.close()


def test_vnc_is_rfb_and_only_preserving_sessions_share_it(platform, virtctl, day):
    first = virtctl.vnc(day)
    assert first.recv(5) == b"RFB 003.008\n"
    sharing = virtctl.vnc(day, preserve_session=True)
    assert sharing.recv(5) == b"RFB 003.008\n"
    third = virtctl.vnc(day)
    assert third.recv(5) == b"RFB 003.008\n"
    third.send(b"RFB 003.008\n")
    assert third.recv(5) == b"\x01\x01"  # one security type: none
    for socket in (first, sharing, third):
        socket.close()
    image = virtctl.vnc_screenshot(day)
    assert image.startswith(b"\x89PNG") and len(image) > 200


def test_pause_shows_in_conditions_and_unpause_takes_it_away(platform, virtctl, day):
    virtctl.pause(day)
    vmi = platform.wait_condition("vmi", day, "Paused", 10)
    assert get_condition(vmi, "Paused")["reason"] == "PausedByUser"
    platform.wait_status(day, "Paused", 10)
    ready = get_condition(platform.wait_condition("vmi", day, "Ready", 10, status="False"), "Ready")
    assert ready["reason"] == "ReadinessGatesNotReady"
    with pytest.raises(ApiError) as refused:
        virtctl.pause(day)
    assert (refused.value.code, "already paused" in refused.value.message) == (409, True)
    with pytest.raises(ApiError) as refused:
        virtctl.soft_reboot(day)
    assert refused.value.code == 409
    virtctl.unpause(day)
    platform.wait_status(day, "Running", 10)
    platform.wait_condition("vmi", day, "Ready", 10)
    with pytest.raises(ApiError):
        virtctl.unpause(day)
    assert wait_for(lambda: get_condition(platform.get("vmi", day), "Paused") is None, 5)


def test_a_soft_reboot_starts_the_guest_again_in_the_same_machine(platform, virtctl, day):
    before = platform.qemu(uid_of(platform))
    platform.wait_condition("vmi", day, "AgentConnected", 30)
    console = virtctl.console(day).login()
    console.run("touch /tmp/before")
    virtctl.soft_reboot(day)
    console.expect("login: ", 60)
    console.login()
    assert console.run("ls /tmp/before") != "/tmp/before"
    console.close()
    assert platform.qemu(uid_of(platform)) == before


def test_a_reset_starts_it_again_at_once(platform, virtctl, day):
    before = platform.qemu(uid_of(platform))
    console = virtctl.console(day).login()
    console.run("touch /tmp/before")
    virtctl.reset(day)
    console.expect("login: ", 60)
    console.login()
    assert console.run("ls /tmp/before") != "/tmp/before"
    console.close()
    assert platform.qemu(uid_of(platform)) == before
    assert platform.get("vm", day)["status"]["printableStatus"] == "Running"


def test_freezing_shows_until_it_is_thawed(platform, virtctl, day):
    platform.wait_condition("vmi", day, "AgentConnected", 60)
    virtctl.freeze(day, "1m0s")
    wait_for(lambda: platform.get("vmi", day)["status"].get("fsFreezeStatus") == "frozen", 20)
    virtctl.unfreeze(day)
    wait_for(lambda: "fsFreezeStatus" not in platform.get("vmi", day)["status"], 20)


def test_restart_makes_a_new_instance_under_the_same_name_and_address(platform, virtctl, day):
    old = platform.get("vmi", day)
    virtctl.restart(day)
    with pytest.raises(ApiError) as refused:
        virtctl.restart(day)
    assert refused.value.code == 409
    wait_new_vmi(platform, old["metadata"]["uid"])
    platform.wait_phase("vmi", day, "Running", 60)
    new = platform.get("vmi", day)
    assert new["status"]["interfaces"][0]["ipAddress"] == old["status"]["interfaces"][0]["ipAddress"]
    assert new["status"]["interfaces"][0]["mac"] == old["status"]["interfaces"][0]["mac"]
    assert platform.qemu(old["metadata"]["uid"]) is None


def test_stop_asks_the_guest_by_acpi_and_start_brings_it_back(platform, virtctl, day):
    uid = uid_of(platform)
    virtctl.console(day).login().close()  # it has booted: acpid listens
    virtctl.stop(day, dry_run=True)
    assert platform.get("vm", day)["spec"]["runStrategy"] == "Always"
    began = time.monotonic()
    virtctl.stop(day)
    assert platform.get("vm", day)["spec"]["runStrategy"] == "Halted"
    platform.wait_status(day, "Stopped", 40)
    assert time.monotonic() - began < 20  # its grace period: it heeded
    assert platform.find("vmi", day) is None
    assert platform.qemu(uid) is None
    vm = platform.get("vm", day)
    assert get_condition(vm, "Ready")["reason"] == "VMINotExists"
    with pytest.raises(ApiError) as refused:
        virtctl.stop(day)
    assert (refused.value.code, "not running" in refused.value.message) == (409, True)
    virtctl.start(day, paused=True)
    platform.wait_status(day, "Paused", 40)
    virtctl.unpause(day)
    platform.wait_status(day, "Running", 20)
    with pytest.raises(ApiError) as refused:
        virtctl.start(day)
    assert "already running" in refused.value.message


def test_a_guest_that_powers_off_is_started_again_under_always(platform, virtctl, day):
    uid = uid_of(platform)
    console = virtctl.console(day).login()
    console.send("poweroff\n")
    assert console.closed(30)
    wait_new_vmi(platform, uid)
    platform.wait_status(day, "Running", 60)


def test_a_forced_stop_does_not_wait_for_the_guest(platform, virtctl, day):
    uid = uid_of(platform)
    began = time.monotonic()
    virtctl.stop(day, grace_period=0)
    platform.wait_status(day, "Stopped", 20)
    assert time.monotonic() - began < 8
    assert platform.qemu(uid) is None
    virtctl.start(day)
    platform.wait_status(day, "Running", 60)


def test_its_events_tell_the_story(platform, day):
    events = {(e["involvedObject"]["kind"], e["reason"]) for e in platform.list("event")}
    assert {
        ("VirtualMachine", "SuccessfulCreate"),
        ("VirtualMachineInstance", "SuccessfulCreate"),
        ("VirtualMachineInstance", "Created"),
        ("VirtualMachineInstance", "Started"),
        ("VirtualMachineInstance", "ShuttingDown"),
        ("VirtualMachineInstance", "Stopped"),
    } <= events


def test_the_log_of_qemu_and_the_guests_console_are_the_pods_logs(platform, virtctl, day):
    virtctl.console(day).login().close()
    [pod] = platform.list("pod", query=f"labelSelector=vm.kubevirt.io/name={day}&fieldSelector=status.phase=Running")
    name = pod["metadata"]["name"]
    text = platform.kubectl("logs", name, "-c", "guest-console-log", "--tail=20")
    assert "login:" in text
    assert platform.kubectl("logs", name, "-c", "compute") is not None


# --- run strategies: a guest without a disk, which ends as it is told ------------------------------------------------


def wait_vmi_running(platform, name, after=None):
    def look():
        found = platform.find("vmi", name)
        good = found and found["metadata"]["uid"] != after and (found.get("status") or {}).get("phase") == "Running"
        return found if good else None

    return wait_for(look, 60, why=lambda: platform.describe("vm", name))


@pytest.fixture
def short(platform):
    """Makes VMs that are deleted at the end."""
    made = []

    def make(name, strategy, **changes):
        made.append(name)
        return platform.create(manifests.vm(name, strategy, **changes))

    make.made = made
    yield make
    for name in made:
        platform.delete("vm", name)
    for name in made:
        platform.wait_gone("vmi", name)


def test_rerun_on_failure_leaves_a_guest_down_that_ended_well_and_starts_one_again_that_crashed(
    platform, virtctl, short
):
    short("rerun", "RerunOnFailure")
    first = wait_vmi_running(platform, "rerun")["metadata"]["uid"]
    time.sleep(1)
    os.kill(platform.qemu(first), signal.SIGKILL)
    second = wait_vmi_running(platform, "rerun", first)["metadata"]["uid"]
    console = virtctl.console("rerun").login()
    console.send("poweroff\n")
    platform.wait_status("rerun", "Stopped", 40)
    time.sleep(2)
    assert platform.get("vm", "rerun")["status"]["printableStatus"] == "Stopped"
    assert uid_of(platform, "rerun") in (None, second)


def test_manual_starts_and_stops_by_request_only(platform, virtctl, short):
    short("manual", "Manual", terminationGracePeriodSeconds=0)
    time.sleep(1.5)
    assert platform.get("vm", "manual")["status"]["printableStatus"] == "Stopped"
    assert platform.find("vmi", "manual") is None
    virtctl.start("manual")
    wait_vmi_running(platform, "manual")
    virtctl.stop("manual")
    platform.wait_status("manual", "Stopped", 30)
    assert platform.get("vm", "manual")["spec"]["runStrategy"] == "Manual"


def test_once_runs_once(platform, virtctl, short):
    short("once", "Once", terminationGracePeriodSeconds=0)
    wait_vmi_running(platform, "once")
    with pytest.raises(ApiError) as refused:
        virtctl.start("once")
    assert refused.value.code == 409
    console = virtctl.console("once").login()
    console.send("poweroff\n")
    platform.wait_phase("vmi", "once", "Succeeded", 40)
    time.sleep(2)
    assert platform.get("vmi", "once")["status"]["phase"] == "Succeeded"
    assert platform.get("vm", "once")["status"]["printableStatus"] == "Stopped"


def test_a_machine_that_qemu_refuses_backs_off_and_says_why(platform, short):
    short("refused", "Always", domain={"memory": {"guest": "128Mi"}, "cpu": {"model": "NoSuchCPU", "cores": 1}})

    def failed():
        found = platform.get("vm", "refused")
        return found if (found.get("status") or {}).get("startFailure", {}).get("consecutiveFailCount") else None

    vm = wait_for(failed, 40, why=lambda: platform.describe("vm", "refused"))
    assert vm["status"]["startFailure"]["retryAfterTimestamp"]
    platform.wait_status("refused", "CrashLoopBackOff", 20)
    messages = json.dumps([e["message"] for e in platform.list("event")])
    assert re.search(r"NoSuchCPU|unable to find CPU model", messages)


def test_an_image_that_cannot_be_had_is_named(platform, short):
    vm = manifests.vm("noimage", "Always")
    vm["spec"]["template"]["spec"]["volumes"][0]["containerDisk"]["image"] = "127.0.0.1:1/none/such:1"
    platform.create(vm)
    try:
        found = wait_for(
            lambda: (
                (v := platform.get("vm", "noimage")).get("status", {}).get("printableStatus")
                in ("ErrImagePull", "ImagePullBackOff")
                and v
            ),
            30,
            why=lambda: platform.describe("vm", "noimage"),
        )
        assert "127.0.0.1:1/none/such" in json.dumps(found["status"]["conditions"]), found["status"]
    finally:
        platform.delete("vm", "noimage")
        platform.wait_gone("vmi", "noimage")


def test_an_instance_type_gives_cpu_and_memory_and_is_frozen_at_the_first_start(platform, virtctl, short):
    body = manifests.vm("typed", "Halted", terminationGracePeriodSeconds=0)
    del body["spec"]["template"]["spec"]["domain"]["memory"]
    body["spec"]["instancetype"] = {"name": "u1.nano"}
    platform.create(body)
    short.made.append("typed")
    expanded = virtctl.expand("typed")["spec"]
    assert "instancetype" not in expanded
    assert expanded["template"]["spec"]["domain"]["memory"]["guest"] == "512Mi"
    virtctl.start("typed", paused=True)
    vm = platform.wait_status("typed", "Paused", 60)
    assert vm["status"]["instancetypeRef"]["controllerRevisionRef"]["name"]
    vmi = platform.get("vmi", "typed")
    assert vmi["spec"]["domain"]["memory"]["guest"] == "512Mi"
    assert vmi["status"]["currentCPUTopology"] == {"sockets": 1, "cores": 1, "threads": 1}
    assert vmi["metadata"]["annotations"]["kubevirt.io/cluster-instancetype-name"] == "u1.nano"
    body["metadata"]["name"] = "conflict"
    body["spec"]["template"]["spec"]["domain"]["memory"] = {"guest": "1Gi"}
    with pytest.raises(ApiError) as refused:
        platform.create(body)
    assert (refused.value.code, "memory" in refused.value.message) in ((422, True), (400, True)), refused.value
