"""Packages of other makers than vSphere, each as that maker writes it: VirtualBox, a script around qemu-img, a vApp.

Called by the tests of the worker and of imports. Every function writes into a folder and gives the OVA's path.
"""

import hashlib
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.vmware import make_ova, ovf, vmdk

VIRTUALBOX = Path(__file__).parents[1] / "golden" / "map" / "virtualbox.ovf"
VAPP = """<VirtualSystemCollection ovf:id="shop">
  <Info>A vApp</Info><Name>shop</Name>
  <StartupSection><Info>Order</Info><Item ovf:id="{id}" ovf:order="2" ovf:startDelay="30" ovf:startAction="powerOn"/>
  <Item ovf:id="other" ovf:order="1"/></StartupSection>
  <ProductSection ovf:class="com.example.shop"><Info>What the appliance asks for</Info><Product>Shop</Product>
  <Vendor>Example</Vendor><Version>1.2</Version><Category>Network</Category>
  <Property ovf:key="address" ovf:type="string" ovf:userConfigurable="true" ovf:value="192.0.2.7"><Label>IP</Label>
  <Value ovf:value="192.0.2.8" ovf:configuration="small"/></Property></ProductSection>
  <EulaSection><Info>Licence</Info><License>None &amp; all</License></EulaSection>
  {systems}
</VirtualSystemCollection>"""


def virtualbox(folder: Path, raws: Sequence[Path]) -> Path:
    """VirtualBox 6: no sizes, one disk, a manifest of SHA-1 with a blank, the archive by GNU tar's habits."""
    disk = folder / "ubuntu-disk001.vmdk"
    with disk.open("wb") as out:
        capacity = vmdk.write_stream_optimized(raws[0], out, extent=disk.name)
    text = re.sub(r'ovf:capacity="\d+"', f'ovf:capacity="{capacity}"', VIRTUALBOX.read_text())
    descriptor = folder / "ubuntu.ovf"
    descriptor.write_text(text)
    lines = [f"SHA1 ({p.name}) = {hashlib.sha1(p.read_bytes()).hexdigest()}\n" for p in (descriptor, disk)]
    (folder / "ubuntu.mf").write_text("".join(lines))
    out = folder / "virtualbox.ova"
    make_ova.pack(out, [descriptor, disk, folder / "ubuntu.mf"])  # the manifest last
    return out


def qemu(folder: Path, raws: Sequence[Path]) -> Path:
    """A descriptor by hand around disks of `qemu-img convert -O vmdk -o subformat=streamOptimized`; no manifest."""
    files = []
    for number, raw in enumerate(raws, 1):
        disk = folder / f"disk-{number}.vmdk"
        command = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, disk]
        subprocess.run(command, check=True)
        files.append(ovf.DiskFile(disk.name, disk.stat().st_size, raw.stat().st_size))
    descriptor = folder / "guest.ovf"
    descriptor.write_bytes(ovf.descriptor(ovf.Machine("guest", files, controller="ide")))
    out = folder / "qemu.ova"
    make_ova.pack(out, [descriptor, *(folder / file.href for file in files)])
    return out


def vapp(folder: Path, raws: Sequence[Path]) -> Path:
    """A vApp of two machines with product, licence and start order; the second machine has no disk."""
    machine = ovf.Machine(
        "front end", (), (ovf.Card("VM Network", "00:50:56:01:02:03"),), firmware="efi", secure_boot=True
    )
    descriptor = make_ova.make_folder(folder, machine, raws, digest="")
    text = descriptor.read_text()
    system = text[text.index("  <VirtualSystem ") : text.index("</Envelope>")]
    other = ovf.descriptor(ovf.Machine("other", ())).decode()
    other = other[other.index("  <VirtualSystem ") : other.index("</Envelope>")]
    descriptor.write_text(text.replace(system, VAPP.format(id=machine.name, systems=system + other)))
    disks = [path for path in sorted(folder.iterdir()) if path.suffix == ".vmdk"]
    out = folder / "vapp.ova"
    make_ova.pack(out, [descriptor, *disks])
    return out


def mixed(folder: Path, raws: Sequence[Path]) -> Path:
    """Disks on NVMe, SATA, PVSCSI and IDE in one machine, and three cards; BootOrderSection says which is first."""
    machine = ovf.Machine("mixed", (), [ovf.Card(f"net {n}", f"00:50:56:01:02:0{n}") for n in (1, 2, 3)])
    descriptor = make_ova.make_folder(folder, machine, raws, digest="")
    text = descriptor.read_text()
    controllers = ("nvme", "sata", "pvscsi", "ide")
    items = []
    for number, name in enumerate(controllers):
        kind, subtype, label = ovf.CONTROLLERS[name]
        more = f"<rasd:ResourceSubType>{subtype}</rasd:ResourceSubType>" if subtype else ""
        items.append(
            f"<Item><rasd:Address>{number}</rasd:Address><rasd:ElementName>{label}</rasd:ElementName>"
            f"<rasd:InstanceID>{50 + number}</rasd:InstanceID>{more}<rasd:ResourceType>{kind}</rasd:ResourceType>"
            "</Item>"
        )
    for number in range(len(raws)):
        before = f"<rasd:InstanceID>{10 + number}</rasd:InstanceID><rasd:Parent>3</rasd:Parent>"
        assert before in text
        text = text.replace(before, before.replace(">3<", f">{50 + number % 4}<"))
    first = f'<vmw:BootOrderSection vmw:instanceId="{9 + len(raws)}" vmw:type="disk"><Info/></vmw:BootOrderSection>'
    text = text.replace("    </VirtualHardwareSection>", "\n".join(items) + "\n    </VirtualHardwareSection>" + first)
    descriptor.write_text(text)
    out = folder / "mixed.ova"
    make_ova.pack(out, [descriptor, *(path for path in sorted(folder.iterdir()) if path.suffix == ".vmdk")])
    return out


MAKERS: dict[str, Callable[[Path, Sequence[Path]], Path]] = {
    "VirtualBox": virtualbox, "qemu-img": qemu, "vApp": vapp, "mixed controllers": mixed,
}  # fmt: skip
