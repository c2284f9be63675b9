"""What is done for a guest while it runs: probes, access credentials, a TPM that keeps its state, block volumes."""

import base64

import pytest
from tests.e2e import manifests
from tests.e2e.platform import get_condition, wait_for

pytestmark = pytest.mark.e2e
NAME = "cared"
KEYS = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst first", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAISecond second")
PROBE = {"periodSeconds": 1, "timeoutSeconds": 5}
DISK = {"disk": {"disk": {"bus": "virtio"}}}


def guest():
    block = manifests.claim("raw", "48Mi")
    block["spec"]["volumeMode"] = "Block"
    source = {"secret": {"secretName": "people"}}
    method = {"qemuGuestAgent": {"users": ["root"]}}
    vm = manifests.vm(
        NAME,
        "Always",
        {"name": "raw", "persistentVolumeClaim": {"claimName": "raw"}, **DISK},
        devices={"tpm": {"persistent": True}},
        readinessProbe={**PROBE, "exec": {"command": ["test", "-e", "/tmp/ready"]}, "failureThreshold": 1},
        livenessProbe={**PROBE, "guestAgentPing": {}, "initialDelaySeconds": 45, "failureThreshold": 2},
        accessCredentials=[{"sshPublicKey": {"source": source, "propagationMethod": method}}],
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "people"}, "stringData": {"a": KEYS[0]}}
    return [block, secret, vm]


@pytest.fixture(scope="module")
def cared(running_platform):
    platform = running_platform
    with platform.space.entered():
        for body in guest():
            platform.kubectl("apply", "-f", "-", stdin=body)
        platform.wait_condition("vmi", NAME, "AgentConnected", 60)
    yield NAME
    with platform.space.entered():
        platform.delete("vm", NAME)
        platform.wait_gone("vmi", NAME)
        platform.kubectl("delete", "pvc/raw", "secret/people")


@pytest.fixture
def shell(virtctl, cared):
    return virtctl.console(cared).login()


def ready(platform):
    found = get_condition(platform.get("vmi", NAME), "Ready")
    return (found["status"], found.get("reason", ""))


def test_a_guest_is_ready_when_its_probe_says_so_and_its_pod_with_it(platform, shell):
    assert ready(platform) == ("False", "ContainersNotReady")
    shell.run("touch /tmp/ready")
    platform.wait_condition("vmi", NAME, "Ready", 20)
    platform.wait_condition("vm", NAME, "Ready", 10)
    [pod] = platform.list("pod", query=f"labelSelector=vm.kubevirt.io/name={NAME}")
    assert get_condition(pod, "Ready")["status"] == "True"
    shell.run("rm /tmp/ready")
    platform.wait_condition("vmi", NAME, "Ready", 20, status="False")
    events = [e for e in platform.list("event") if e["reason"] == "Unhealthy"]
    assert any("Readiness probe failed: test exited with 1" in e["message"] for e in events)
    shell.run("touch /tmp/ready")
    platform.wait_condition("vmi", NAME, "Ready", 20)


def test_keys_reach_the_guest_by_its_agent_and_follow_their_secret(platform, shell):
    platform.wait_condition("vmi", NAME, "AccessCredentialsSynchronized", 20)
    keys = shell.run("cat /root/.ssh/authorized_keys /.ssh/authorized_keys 2>/dev/null")
    assert KEYS[0] in keys
    changed = {"data": {"a": base64.b64encode(KEYS[1].encode()).decode()}}
    platform.kubectl("patch", "secret", "people", "--type=merge", "-p", str(changed).replace("'", '"'))
    look = "cat /root/.ssh/authorized_keys /.ssh/authorized_keys 2>/dev/null"
    wait_for(lambda: KEYS[1] in shell.run(look), 40, 2)
    assert KEYS[0] not in shell.run(look)


def test_the_guest_has_a_tpm_and_a_block_volume_of_the_claims_size(platform, shell):
    assert "TPM2" in shell.run("ls /sys/firmware/acpi/tables")
    assert shell.run("cat /sys/block/vdb/size") == str((48 << 20) // 512)
    volume = next(v for v in platform.get("vmi", NAME)["status"]["volumeStatus"] if v["name"] == "raw")
    assert volume["persistentVolumeClaimInfo"]["volumeMode"] == "Block"


def test_a_guest_that_answers_no_more_is_ended_and_its_vm_starts_it_again(platform, shell):
    state = platform.home.node(platform.node) / "state/default" / NAME / "tpm"
    kept = {path.name for path in state.iterdir()}
    before = platform.get("vmi", NAME)["metadata"]["uid"]
    shell.run("killall qemu-ga")
    again = wait_for(lambda: (v := platform.find("vmi", NAME)) and v["metadata"]["uid"] != before and v, 120)
    assert again
    messages = [e["message"] for e in platform.list("event") if e["reason"] in ("Killing", "Unhealthy")]
    assert "Container compute failed liveness probe" in messages
    assert any(m.startswith("Liveness probe failed: ") for m in messages)
    platform.wait_phase("vmi", NAME, "Running", 30)
    assert {path.name for path in state.iterdir()} >= kept
