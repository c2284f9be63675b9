import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.node.vm import pci


@given(st.integers(0, 16))
def test_no_two_cards_share_a_place(count):
    places = pci.place_all("nic", pci.NIC_SLOTS, [("", 0)] * count, 1)
    assert len({place.addr for place in places}) == count
    assert len({place.chassis for place in places}) == count


@given(st.integers(1, 15))
def test_one_more_card_moves_none_of_the_others(count):
    fewer = pci.place_all("nic", pci.NIC_SLOTS, [("", 0)] * count, 1)
    more = pci.place_all("nic", pci.NIC_SLOTS, [("", 0)] * (count + 1), 1)
    assert more[:count] == fewer


@given(st.lists(st.sampled_from(["", "0000:02:00.0", "0000:05:00.0", "0000:00:1b.0"]), max_size=6, unique=True))
def test_who_asks_for_a_bus_gets_its_port_and_the_rest_go_around_it(wishes):
    places = pci.place_all("nic", pci.NIC_SLOTS, [(wish, 0) for wish in wishes], 1)
    for wish, place in zip(wishes, places, strict=True):
        if wish == "0000:05:00.0":
            assert place.port == "nic-port4"
        if wish == "0000:00:1b.0":
            assert (place.bus, place.device_addr) == ("pcie.0", "0x1b.0x0")
    assert len({(place.bus, place.addr) for place in places}) == len(places)


def test_the_seventeenth_card_is_refused_with_the_limit():
    with pytest.raises(pci.PciError, match="at most 16"):
        pci.place_all("nic", pci.NIC_SLOTS, [("", 0)] * 17, 1)


def test_the_same_address_twice_is_refused():
    with pytest.raises(pci.PciError, match="twice"):
        pci.place_all("nic", pci.NIC_SLOTS, [("0000:01:00.0", 0), ("0000:01:00.0", 0)], 1)


@pytest.mark.parametrize("address", ["1:0", "0000:01:00.8", "zz:01:00.0", "0000:01:00.0;x"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(pci.PciError, match="PCI address"):
        pci.parse_address(address)
