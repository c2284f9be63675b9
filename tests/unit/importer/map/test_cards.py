"""Cards that share a network, and what is said of those that stay behind."""

import pytest

from isthmus.importer.map import concerns, virtual_machine
from isthmus.importer.sources.machine import Machine, Nic

CARDS = (Nic("Ethernet 1", "VM Network", "00:50:56:01:02:01"), Nic("Ethernet 2", "VM Network", "00:50:56:01:02:02"))
MACHINE = Machine("erp", nics=CARDS)


def interfaces(machine: Machine, **networks: str) -> list[str]:
    vm = virtual_machine.virtual_machine(
        machine, "erp", "default", {}, {k.replace("_", " "): v for k, v in networks.items()}
    )
    return [card["name"] for card in vm["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]]


def test_of_two_cards_on_one_network_the_pod_network_gets_the_first_and_a_definition_both():
    assert interfaces(MACHINE, VM_Network="pod") == ["nic-1"]
    assert interfaces(MACHINE, VM_Network="default/lan") == ["nic-1", "nic-2"]


def test_two_networks_on_the_pod_network_are_refused():
    other = Machine("erp", nics=(CARDS[0], Nic("Ethernet 2", "Storage")))
    with pytest.raises(virtual_machine.MappingError, match="more than one card on the pod network"):
        interfaces(other, VM_Network="pod", Storage="pod")


def test_cards_without_a_network_count_as_on_one():
    nameless = Machine("erp", nics=(Nic("Ethernet 1", ""), Nic("Ethernet 2", "")))
    vm = virtual_machine.virtual_machine(nameless, "erp", "default", {}, {"": "pod"})
    assert len(vm["spec"]["template"]["spec"]["networks"]) == 1


def test_cards_that_stay_behind_are_of_concern():
    found = concerns.find_concerns(MACHINE, on_pod=["VM Network"])
    assert [c.id for c in found if "network" in c.id] == ["isthmus.network.second_card"]
    assert "Ethernet 2" in next(c.assessment for c in found if "network" in c.id)
    found = concerns.find_concerns(MACHINE, unplugged=["VM Network"])
    assert [c.id for c in found if "network" in c.id] == ["isthmus.network.unmapped"] * 2
