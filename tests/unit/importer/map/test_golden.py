"""tests/golden/map: what an OVF descriptor becomes. `UPDATE_GOLDEN=1 pytest` rewrites the .yaml files."""

import os
from pathlib import Path

import pytest
import yaml

from isthmus.engine.controllers.cluster import commontypes
from isthmus.importer.map import claims, concerns, names, virtual_machine
from isthmus.importer.sources import ovf

PREFERENCES = {body["metadata"]["name"]: body["spec"] for body in commontypes.preferences()}
GOLDEN = Path(__file__).parents[3] / "golden" / "map"
CASES = sorted(path.name for path in GOLDEN.glob("*.ovf"))


def mapped(name: str) -> str:
    """Claims, machine and concerns as one YAML stream. The first network becomes the pod network, the others a NAD."""
    envelope = ovf.parse((GOLDEN / name).read_bytes())
    documents: list[object] = []
    for machine in envelope.machines:
        target = names.to_label(machine.name)
        claimed = claims.claim_names(machine, target)
        storage = claims.Storage("fast", overhead=0.055)
        documents += [claims.persistent_volume_claim(disk, claimed[disk.id], "shop", storage) for disk in machine.disks]
        networks = list(dict.fromkeys(nic.network for nic in machine.nics))
        targets = {network: "pod" if i == 0 else f"infra/vlan-{i}" for i, network in enumerate(networks)}
        options = virtual_machine.Options(preferences=PREFERENCES)
        documents.append(virtual_machine.virtual_machine(machine, target, "shop", claimed, targets, options))
        documents.append(
            [
                f"{c.category.value} {c.id}: {c.assessment}"
                for c in concerns.find_concerns(machine, on_pod=networks[:1])
            ],
        )
    return yaml.safe_dump_all(documents, sort_keys=False, width=110)


@pytest.mark.parametrize("name", CASES)
def test_a_descriptor_becomes_the_golden_virtual_machine(name: str):
    golden = (GOLDEN / name).with_suffix(".yaml")
    result = mapped(name)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(result)
    assert result == golden.read_text()
