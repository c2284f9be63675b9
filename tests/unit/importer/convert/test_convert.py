import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.importer.convert import decide, events, plan, virtv2v, vmi
from isthmus.importer.convert.decide import Converter, Verdict


def test_nics_become_kernel_arguments_in_their_order():
    arguments = plan.plan([plan.Nic("00:50:56:AA:00:01"), plan.Nic("00-50-56-aa-00-02", "uplink0")])
    assert arguments.endswith("isthmus.nic=00:50:56:aa:00:01 isthmus.nic=00:50:56:aa:00:02,uplink0")


@pytest.mark.parametrize(
    "nic", [plan.Nic("x"), plan.Nic("00:50:56:aa:00:01", "a b"), plan.Nic("00:50:56:aa:00:01", "x" * 16)]
)
def test_what_could_not_be_one_word_is_refused(nic):
    with pytest.raises(ValueError, match="is no"):
        plan.plan([nic])


CONSOLE = """\x1bc[    0.1] Linux version 6.1
[ 1.0] noise {"isthmus":"start","seconds":1.2,"converter":"isthmus"}
{"isthmus":"os","seconds":1.3,"id":"debian","version":"12","name":"Debian","initramfs":"dracut","agent":"absent"}
{"isthmus":"kernel","seconds":1.4,"release":"6.1.0","bootloader":"/boot/grub/grub.cfg"}
{"isthmus":"interface","seconds":1.5,"name":"ens192","mac":"00:50:56:aa:00:01"}
{"isthmus":"address","seconds":1.5,"name":"ens192","address":"192.0.2.7/24"}
{"isthmus":"address","seconds":1.5,"name":"ens192","address":"2001:db8::7/64"}
{"isthmus":"change","seconds":1.6,"action":"edited","path":"/etc/fstab","original":"/o","reason":"UUID"}
{"isthmus":"warning","seconds":1.7,"message":"look"}
{"isthmus":"change","seconds":1.8,"act
{"isthmus":"verdict","seconds":2.5,"verdict":"converted"}
"""


def test_a_report_is_read_from_among_console_noise():
    report = events.parse(CONSOLE.splitlines())
    assert (report.os, report.version, report.kernel, report.initramfs) == ("debian", "12", "6.1.0", "dracut")
    assert report.changes == (events.Change("edited", "/etc/fstab", "/o", "UUID"),)
    assert report.warnings == ("look",)
    assert report.interfaces == {"ens192": "00:50:56:aa:00:01"}
    assert report.addresses == {"ens192": ["192.0.2.7/24", "2001:db8::7/64"]}
    assert (report.verdict, report.seconds) == ("converted", 2.5)


@given(st.lists(st.text()))
def test_no_console_text_upsets_the_parser(lines):
    events.parse([*lines, *('{"isthmus":' + line for line in lines)])


@pytest.mark.parametrize(
    ("tried", "verdict", "available", "expected"),
    [
        (Converter.ISTHMUS, Verdict.CONVERTED, True, None),
        (Converter.ISTHMUS, Verdict.UNSUPPORTED, True, Converter.VIRT_V2V),
        (Converter.ISTHMUS, Verdict.FAILED, True, Converter.VIRT_V2V),
        (Converter.ISTHMUS, Verdict.UNSUPPORTED, False, Converter.COMPATIBILITY),
        (Converter.VIRT_V2V, Verdict.FAILED, True, Converter.COMPATIBILITY),
        (Converter.VIRT_V2V, Verdict.CONVERTED, True, None),
        (Converter.COMPATIBILITY, Verdict.FAILED, True, None),
    ],
)
def test_the_next_converter_follows_from_the_verdict(tried, verdict, available, expected):
    assert decide.following(tried, verdict, virt_v2v_available=available) is expected


def test_windows_goes_to_virt_v2v_at_once_unless_asked_otherwise():
    assert decide.first(None, "windows2019srv_64Guest") is Converter.VIRT_V2V
    assert decide.first(None, "debian12_64Guest") is Converter.ISTHMUS
    assert decide.first(Converter.ISTHMUS, "windows9_64Guest") is Converter.ISTHMUS


def test_a_machine_that_ended_without_a_word_has_failed():
    assert decide.verdict_of(events.Report(), machine_ended=True) is Verdict.FAILED
    assert decide.verdict_of(events.Report(), machine_ended=False) is None
    assert decide.verdict_of(events.Report(verdict="converted"), machine_ended=False) is Verdict.CONVERTED


def test_the_conversion_machine_has_the_disks_in_order_no_network_and_a_logged_console():
    manifest = vmi.conversion_vmi("c", "ns", ["disk-a", "disk-b"], "quiet")
    spec = manifest["spec"]
    assert [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"]] == ["disk-a", "disk-b"]
    assert [d["name"] for d in spec["domain"]["devices"]["disks"]] == [v["name"] for v in spec["volumes"]]
    assert spec["networks"] == []
    assert spec["domain"]["devices"]["autoattachPodInterface"] is False
    assert spec["domain"]["devices"]["logSerialConsole"] is True
    assert spec["domain"]["firmware"]["kernelBoot"]["container"]["image"] == "isthmus.dev/appliance"


V2V = """[   0.0] Setting up the source: -i disk x.raw
[   1.2] Opening the source
virt-v2v-in-place: warning: could not determine a way to update the configuration of Grub2
[ 243.3] Finishing off
"""


def test_virt_v2v_output_gives_phases_and_warnings():
    output = virtv2v.parse(V2V)
    assert output.phases[1] == virtv2v.Phase(1.2, "Opening the source")
    assert output.warnings == ("could not determine a way to update the configuration of Grub2",)
    assert output.finished
    assert output.error == ""


def test_virt_v2v_error_is_kept_in_its_words():
    output = virtv2v.parse("[   0.0] Setting up\nvirt-v2v-in-place: error: no root device found in this\n")
    assert output.error == "no root device found in this"
    assert not output.finished


def test_tcg_is_forced_only_without_kvm():
    assert virtv2v.build_environment(kvm=False)["LIBGUESTFS_BACKEND_SETTINGS"] == "force_tcg"
    assert "LIBGUESTFS_BACKEND_SETTINGS" not in virtv2v.build_environment(kvm=True)
