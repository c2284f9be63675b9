import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.importer.prove import judge, proof, texts
from isthmus.importer.prove.judge import Outcome

PLAN = judge.Plan({"ens192": ["192.168.50.10/24"]})
BOOT = (
    "SeaBIOS (version 1.16)\nBooting from Hard Disk...\nLinux version 6.1.0-56-amd64 (x)\n"
    "\nDebian GNU/Linux 12 legacy ttyS0\n\nlegacy login: "
)
TOLD = (
    '\n{"isthmus":"booted","kernel":"6.1.0-56-amd64","root":"/dev/vda1","disks":["pci0000:00/0000:00:02.0/virtio1/block/vda/vda1"],'
    '"addresses":["ens192=192.168.50.10/24"],"failedUnits":[]}\n'
)


def outcomes(verdict):
    return {check.name: check.outcome for check in verdict.checks}


def test_a_boot_that_shows_everything_passes_with_evidence():
    verdict = judge.judge(BOOT + TOLD, PLAN, 25)
    assert verdict.outcome is Outcome.PASSED
    assert all(check.evidence for check in verdict.checks)
    assert outcomes(verdict)["root"] is Outcome.PASSED


def test_it_runs_until_the_address_is_known():
    verdict = judge.judge(BOOT, PLAN, 25)
    assert verdict.outcome is Outcome.RUNNING
    assert "addresses" in verdict.reason


def test_an_address_that_does_not_come_up_fails_when_the_guest_has_spoken_long_enough():
    wrong = TOLD.replace("ens192=192.168.50.10/24", "enp1s0=10.0.0.1/24")
    first, last = (wrong.replace('"booted"', f'"booted","seconds":{at}') for at in (200, 200 + judge.SETTLE_SECONDS))
    assert judge.judge(BOOT + first, PLAN, 250).outcome is Outcome.RUNNING
    verdict = judge.judge(BOOT + first + last, PLAN, 290)
    assert verdict.outcome is Outcome.FAILED
    assert "192.168.50.10/24 on ens192 missing" in verdict.reason


def test_a_slow_boot_takes_nothing_from_the_time_to_settle():
    early = TOLD.replace('["ens192=192.168.50.10/24"]', "[]").replace('"booted"', '"booted","seconds":180.0')
    assert judge.judge(BOOT + early, PLAN, 190).outcome is Outcome.RUNNING
    assert judge.judge(BOOT + early + TOLD, PLAN, 195).outcome is Outcome.PASSED


def test_what_was_not_seen_is_called_inferred():
    verdict = judge.judge("\nlegacy login: ", judge.Plan(), 25)
    assert verdict.outcome is Outcome.PASSED
    assert {check.name for check in verdict.checks if check.inferred} == {"firmware", "kernel", "root"}
    assert all(check.evidence.startswith("inferred from: ") for check in verdict.checks if check.inferred)
    assert not any(check.inferred for check in judge.judge(BOOT + TOLD, PLAN, 25).checks)


def test_a_login_does_not_stand_for_virtio_where_a_disk_is_on_another_bus():
    checks = {c.name: c for c in judge.judge("\nlegacy login: ", judge.Plan(virtio=False), 25).checks}
    assert checks["root"].outcome is Outcome.SKIPPED


def test_who_has_nothing_to_speak_with_is_not_waited_for():
    verdict = judge.judge(BOOT, judge.Plan(PLAN.addresses, speaks=False), 25)
    assert verdict.outcome is Outcome.PASSED
    assert outcomes(verdict)["addresses"] is Outcome.SKIPPED
    assert judge.judge("SeaBIOS (version 1)", judge.Plan(PLAN.addresses, speaks=False), 25).outcome is Outcome.RUNNING


def test_the_last_word_of_the_guest_counts():
    early = TOLD.replace('["ens192=192.168.50.10/24"]', "[]")
    assert judge.judge(BOOT + early + TOLD, PLAN, 90).outcome is Outcome.PASSED


def test_a_root_that_is_not_on_virtio_fails():
    verdict = judge.judge(BOOT + TOLD.replace("virtio1", "ata1"), PLAN, 25)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("root")


def test_another_kernel_than_the_converted_one_fails():
    verdict = judge.judge(BOOT + TOLD, judge.Plan(PLAN.addresses, kernel="5.10.0"), 25)
    assert verdict.outcome is Outcome.FAILED
    assert "5.10.0" in verdict.reason


def test_a_quiet_guest_with_an_agent_passes_without_a_console():
    agent = judge.Agent(True, "6.1.0", {"ens192": ["192.168.50.10"]})
    text = "/dev/vda1: clean, 1/2 files, 3/4 blocks\nBooting from Hard Disk"
    assert judge.judge(text, PLAN, 25, agent).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No bootable device.", "no disk"),
        ("\ngrub rescue> ", "grub rescue"),
        ("Gave up waiting for root file system device.  Common problems:", "root disk"),
        ("\nALERT!  UUID=x does not exist.  Dropping to a shell!", "root disk"),
        ("\n(initramfs) ", "shell"),
        ("[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs", "could not mount the root"),
        ("[    1.0] Kernel panic - not syncing: Attempted to kill init!", "panicked"),
        ("You are in emergency mode. After logging in", "emergency"),
        ("[  190.0] dracut-initqueue[280]: Warning: Could not boot.", "dracut"),
        (
            'BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0): Not Found\n>>Start PXE over IPv4.',
            "no boot loader on the disk",
        ),
        ("BdsDxe: No bootable option or device was found.", "no disk"),
    ],
)
def test_known_ends_of_a_boot_fail_at_once_in_words(text, words):
    verdict = judge.judge("SeaBIOS (version 1)\n\x1b[0m" + text, PLAN, 3)
    assert verdict.outcome is Outcome.FAILED
    assert words in verdict.reason


def test_silence_fails_at_the_deadline_and_a_stopped_machine_at_once():
    assert judge.judge("", PLAN, 10).outcome is Outcome.RUNNING
    assert "firmware" in judge.judge("", PLAN, judge.DEADLINE_SECONDS).reason
    assert "stopped" in judge.judge("", PLAN, 10, ended=True).reason


def test_a_text_of_failure_in_a_running_guest_does_not_fail_it():
    assert judge.judge(BOOT + "No bootable device" + TOLD, PLAN, 25).outcome is Outcome.PASSED


@given(st.text(), st.floats(0, 1000))
def test_no_console_upsets_the_judge(text, seconds):
    judge.judge(text, PLAN, seconds)


def test_terminal_escapes_are_taken_out():
    assert texts.plain("\x1b[2J\x1b[0;32m  OK  \x1b[0m\r\n") == "  OK  \n"


SPEC = {
    "domain": {
        "devices": {
            "disks": [{"name": "root", "disk": {"bus": "virtio"}}],
            "interfaces": [
                {"name": "lan", "masquerade": {}, "macAddress": "00:50:56:aa:00:01", "model": "virtio", "ports": []}
            ],
        }
    },
    "networks": [{"name": "lan", "pod": {}}],
    "volumes": [
        {"name": "root", "persistentVolumeClaim": {"claimName": "disk"}},
        {"name": "data", "dataVolume": {"name": "data"}},
        {"name": "seed", "cloudInitNoCloud": {"userData": "#"}},
    ],
}  # fmt: skip


def test_the_proof_boots_overlays_in_the_isolated_network_and_leaves_the_spec_alone():
    manifest = proof.proof_vmi("p", "ns", SPEC, "proof-net")
    spec = manifest["spec"]
    claims = [v.get("ephemeral", {}).get("persistentVolumeClaim", {}).get("claimName") for v in spec["volumes"]]
    assert claims == ["disk", "data", None]
    assert spec["networks"] == [{"name": "lan", "multus": {"networkName": "proof-net"}}]
    (interface,) = spec["domain"]["devices"]["interfaces"]
    assert interface == {"name": "lan", "macAddress": "00:50:56:aa:00:01", "model": "virtio", "bridge": {}}
    assert "masquerade" in SPEC["domain"]["devices"]["interfaces"][0]


def test_the_proof_network_has_no_uplink_and_a_device_name_that_fits():
    import json

    config = json.loads(proof.proof_network("a-rather-long-name-of-a-proof", "namespace")["spec"]["config"])
    assert len(config["bridge"]) <= 15
    assert (config["isGateway"], config["ipam"]) == (False, {})


@pytest.mark.parametrize(
    ("disks", "expected"),
    [
        ([{"disk": {"bus": "virtio"}}, {"cdrom": {"bus": "sata"}}], True),
        ([{"disk": {"bus": "virtio"}}, {"disk": {"bus": "sata"}}], False),
        ([{"disk": {"bus": "scsi"}}], True),
        ([{"disk": {}}], False),
        ([], False),
    ],
)
def test_only_a_machine_whose_disks_are_all_on_virtio_boots_from_virtio(disks, expected):
    assert proof.boots_from_virtio({"domain": {"devices": {"disks": disks}}}) is expected
