"""VMI -> QEMU's command line, pinned by golden files: tests/golden/argv/NAME.yaml gives NAME.argv.

`UPDATE_GOLDEN=1 pytest ...` writes the .argv files anew; read the difference before you commit it.
"""

import itertools
import os
from pathlib import Path

import pytest
import yaml

from isthmus.engine.node.net.model import Nic
from isthmus.engine.node.vm import argv, spec
from isthmus.engine.node.vm.machine import Host, Image, KernelBoot, Sockets

GOLDEN = Path(__file__).parents[4] / "golden" / "argv"
CASES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
OVMF = Path("/usr/share/OVMF")


def host_of(case):
    accelerator = case.get("accelerator", "tcg")
    return Host(
        qemu="/usr/bin/qemu-system-x86_64",
        version=(7, 2, 22),
        accelerator=accelerator,
        machine_types=("q35", "pc-q35-7.2", "pc-q35-6.2"),
        firmwares=(
            ("plain", OVMF / "OVMF_CODE_4M.fd", OVMF / "OVMF_VARS_4M.fd"),
            ("secure", OVMF / "OVMF_CODE_4M.ms.fd", OVMF / "OVMF_VARS_4M.ms.fd"),
        ),
        vhost_net=accelerator == "kvm",
        swtpm="/usr/bin/swtpm",
    )


def image_of(given):
    if given is None:
        return None
    values = dict(given)
    base = values.pop("backing", None)
    return Image(Path(values.pop("path")), backing=image_of(base), **values)


def build(case):
    vmi = {
        "metadata": {"namespace": "default", "name": "vm", "uid": "u", **case.get("metadata", {})},
        "spec": case["spec"],
    }
    nics = {name: Nic(name, **values) for name, values in case.get("nics", {}).items()}
    images = {name: image_of(values) for name, values in case.get("images", {}).items()}
    boot = case.get("kernelBoot")
    kernel = KernelBoot(Path(boot["kernel"]), Path(boot["initrd"]), boot["args"]) if boot else None
    directory = Path("/var/lib/isthmus/nodes/n1/vms/u")
    machine = spec.build_machine(vmi, images, nics, host_of(case), directory, kernel)
    return argv.build_argv(machine, host_of(case), Sockets(directory))


def by_line(arguments):
    """An option and its value on one line."""
    lines = []
    for argument in arguments:
        if argument.startswith("-") or not lines or " " in lines[-1] or not lines[-1].startswith("-"):
            lines.append(argument)
        else:
            lines[-1] += f" {argument}"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_the_command_line_is_the_golden_one(name):
    found = by_line(build(yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())))
    golden = GOLDEN / f"{name}.argv"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


def minimal(**domain):
    return {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {"autoattachPodInterface": False}, **domain}}}


def options(arguments, name):
    return [value for flag, value in itertools.pairwise(arguments) if flag == name]


def test_text_from_a_manifest_cannot_add_options():
    case = minimal(firmware={"serial": "x,file=/etc/shadow"}, chassis={"sku": "a,b=c"})
    smbios = options(build(case), "-smbios")
    assert any("serial=x,,file=/etc/shadow" in value for value in smbios)
    assert any("sku=a,,b=c" in value for value in smbios)


def test_a_second_card_leaves_the_place_of_the_disk_alone():
    disk = {"name": "root", "disk": {"bus": "virtio"}}
    base = {
        "nics": {
            "a": {"tap": "tap0", "mac": "02:00:00:00:00:01", "mtu": 1500},
            "b": {"tap": "tap1", "mac": "02:00:00:00:00:02", "mtu": 1500},
        },
        "images": {"root": {"path": "/d.img"}},
    }

    def with_cards(*names):
        devices = {"disks": [disk], "interfaces": [{"name": name, "masquerade": {}} for name in names]}
        spec_ = {
            "domain": {"memory": {"guest": "64Mi"}, "devices": devices},
            "networks": [{"name": name, "pod": {}} for name in names],
            "volumes": [{"name": "root", "emptyDisk": {"capacity": "1Mi"}}],
        }
        return options(build({**base, "spec": spec_}), "-device")

    one, two = with_cards("a"), with_cards("a", "b")
    assert [d for d in one if "ua-root" in d or "disk-port0" in d] == [
        d for d in two if "ua-root" in d or "disk-port0" in d
    ]
    assert [d for d in one if "ua-a" in d] == [d for d in two if "ua-a" in d]


def test_sockets_are_named_relative_to_the_working_directory():
    arguments = build(minimal())
    paths = [part for value in options(arguments, "-chardev") for part in value.split(",") if part.startswith("path=")]
    assert paths
    assert all("/" not in path for path in paths)


def test_under_tcg_a_host_model_is_every_feature_of_tcg():
    assert options(build(minimal()), "-cpu") == ["max,la57=off"]


def test_under_kvm_host_passthrough_is_the_host():
    case = minimal(cpu={"model": "host-passthrough"}) | {"accelerator": "kvm"}
    assert options(build(case), "-cpu") == ["host,migratable=off"]
