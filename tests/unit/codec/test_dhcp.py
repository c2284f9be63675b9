"""DHCP messages and the server's answers, against RFC 2131's tables and for any bytes at all."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.codec import dhcp
from isthmus.codec.dhcp import Message, MessageType, Option

MAC = bytes.fromhex("020000000001")
ADDRESS, SERVER = IPv4Address("10.0.2.2"), IPv4Address("10.0.2.1")
LEASE = dhcp.Lease(
    mac=MAC,
    address=ADDRESS,
    network=IPv4Network("10.0.2.0/24"),
    server=SERVER,
    router=SERVER,
    dns=(IPv4Address("9.9.9.9"),),
    search=("example.com", "lab.example.com"),
    host_name="web",
    mtu=1400,
    seconds=800,
)
EVERYONE = IPv4Address("255.255.255.255")


def request(kind: MessageType, options=(), **fields) -> Message:
    return Message(1, 7, MAC, {Option.MESSAGE_TYPE: bytes([kind]), **dict(options)}, **fields)


def answered(message: Message, lease: dhcp.Lease = LEASE) -> Message:
    """The answer as a client reads it off the wire."""
    reply = dhcp.answer(dhcp.parse(dhcp.build(message)), lease)
    assert reply is not None
    return dhcp.parse(dhcp.build(reply.message, reply.max_size))


def test_a_discover_is_offered_the_lease():
    offer = answered(request(MessageType.DISCOVER))
    assert (offer.op, offer.xid, offer.type, offer.yiaddr) == (2, 7, MessageType.OFFER, ADDRESS)
    assert offer.address(Option.SERVER_ID) == SERVER
    assert offer.address(Option.ROUTER) == SERVER
    assert offer.options[Option.SUBNET_MASK] == bytes([255, 255, 255, 0])
    assert offer.options[Option.MTU] == (1400).to_bytes(2, "big")
    assert offer.options[Option.HOST_NAME] == b"web"
    assert offer.options[Option.DOMAIN_SEARCH] == b"\7example\3com\0\3lab\7example\3com\0"
    assert [int.from_bytes(offer.options[o], "big") for o in (51, 58, 59)] == [800, 400, 700]


@pytest.mark.parametrize(
    ("options", "fields", "kind"),
    [
        ({Option.SERVER_ID: SERVER.packed, Option.REQUESTED_ADDRESS: ADDRESS.packed}, {}, MessageType.ACK),
        ({Option.REQUESTED_ADDRESS: ADDRESS.packed}, {}, MessageType.ACK),
        ({}, {"ciaddr": ADDRESS}, MessageType.ACK),
        ({Option.REQUESTED_ADDRESS: IPv4Address("10.9.9.9").packed}, {}, MessageType.NAK),
        ({}, {"ciaddr": IPv4Address("10.9.9.9")}, MessageType.NAK),
        ({Option.SERVER_ID: IPv4Address("10.9.9.1").packed, Option.REQUESTED_ADDRESS: ADDRESS.packed}, {}, None),
    ],
    ids=["selecting", "init-reboot", "renewing", "moved", "renewing-elsewhere", "another-server"],
)
def test_a_request_is_answered_as_its_state_asks(options, fields, kind):
    reply = dhcp.answer(request(MessageType.REQUEST, options, **fields), LEASE)
    assert (reply.message.type if reply else None) == kind


def test_a_refusal_gives_no_address_and_goes_to_everyone():
    reply = dhcp.answer(request(MessageType.REQUEST, ciaddr=IPv4Address("10.9.9.9")), LEASE)
    assert (reply.message.yiaddr, reply.address, reply.mac) == (IPv4Address(0), EVERYONE, b"\xff" * 6)


@pytest.mark.parametrize(
    ("fields", "address", "mac"),
    [
        ({}, ADDRESS, MAC),
        ({"flags": 0x8000}, EVERYONE, b"\xff" * 6),
        ({"ciaddr": ADDRESS, "flags": 0x8000}, ADDRESS, MAC),
    ],
)
def test_the_answer_goes_where_the_client_can_hear_it(fields, address, mac):
    options = {} if "ciaddr" in fields else {Option.REQUESTED_ADDRESS: ADDRESS.packed}
    reply = dhcp.answer(request(MessageType.REQUEST, options, **fields), LEASE)
    assert (reply.address, reply.mac) == (address, mac)


def test_an_inform_gets_configuration_without_a_lease():
    ack = answered(request(MessageType.INFORM, ciaddr=IPv4Address("10.0.2.77")))
    assert (ack.type, ack.yiaddr) == (MessageType.ACK, IPv4Address(0))
    assert Option.LEASE_TIME not in ack.options
    assert Option.DNS in ack.options


def test_a_rapid_commit_is_acknowledged_at_once():
    ack = answered(request(MessageType.DISCOVER, {Option.RAPID_COMMIT: b""}))
    assert (ack.type, ack.options[Option.RAPID_COMMIT]) == (MessageType.ACK, b"")


@pytest.mark.parametrize("kind", [MessageType.DECLINE, MessageType.RELEASE, MessageType.OFFER, MessageType.ACK])
def test_other_messages_are_met_with_silence(kind):
    assert dhcp.answer(request(kind), LEASE) is None


def test_another_client_a_relay_and_a_reply_are_met_with_silence():
    discover = {Option.MESSAGE_TYPE: bytes([MessageType.DISCOVER])}
    assert dhcp.answer(Message(1, 7, b"\2\0\0\0\0\2", discover), LEASE) is None
    assert dhcp.answer(Message(1, 7, MAC, discover, giaddr=SERVER), LEASE) is None
    assert dhcp.answer(Message(2, 7, MAC, discover), LEASE) is None


def test_the_client_identifier_comes_back():
    offer = answered(request(MessageType.DISCOVER, {Option.CLIENT_ID: b"\xff1234"}))
    assert offer.options[Option.CLIENT_ID] == b"\xff1234"


def test_routes_include_the_default_one_since_clients_then_ignore_the_router_option():
    routes = ((IPv4Network("10.9.0.0/17"), IPv4Address("10.0.2.9")),)
    options = dhcp.configuration(dhcp.Lease(MAC, ADDRESS, IPv4Network("10.0.2.0/24"), SERVER, SERVER, routes=routes))
    assert options[Option.CLASSLESS_ROUTES] == bytes([17, 10, 9, 0, 10, 0, 2, 9, 0, 10, 0, 2, 1])


def test_an_answer_leaves_out_what_the_client_has_no_room_for():
    long = dhcp.Lease(
        MAC, ADDRESS, IPv4Network("10.0.2.0/24"), SERVER, SERVER, private=dict.fromkeys((224, 225), "x" * 200)
    )
    reply = dhcp.answer(request(MessageType.DISCOVER), long)
    data = dhcp.build(reply.message, reply.max_size)
    assert len(data) <= 576 - 28
    assert dhcp.parse(data).address(Option.ROUTER) == SERVER
    larger = dhcp.answer(request(MessageType.DISCOVER, {Option.MAX_SIZE: (1400).to_bytes(2, "big")}), long)
    assert 225 in dhcp.parse(dhcp.build(larger.message, larger.max_size)).options


def test_options_in_the_name_and_file_fields_are_read():
    data = bytearray(dhcp.build(request(MessageType.DISCOVER, {Option.OVERLOAD: b"\3"})))
    data[44:50] = b"\x0c\3abc\xff"
    data[108:114] = b"\x0c\3def\xff"
    assert dhcp.parse(bytes(data)).options[Option.HOST_NAME] == b"defabc"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (bytes(2000), "2000 bytes"),
        (bytes(240), "no DHCP cookie at offset 236"),
        (bytes(2) + b"\x11" + bytes(233) + b"\x63\x82\x53\x63", "hardware address of 17"),
        (bytes(236) + b"\x63\x82\x53\x63\x35\x05\x01", "option 53 at offset 240 runs past the end"),
        (bytes(236) + b"\x63\x82\x53\x63\x35", "option 53 at offset 240 runs past the end"),
    ],
)
def test_what_is_no_message_is_named_with_its_offset(data, message):
    with pytest.raises(dhcp.DhcpError, match=message):
        dhcp.parse(data)


@given(st.binary(max_size=1600))
def test_any_bytes_parse_or_raise_the_one_error(data):
    for candidate in (data, data[:236].ljust(236, b"\0") + b"\x63\x82\x53\x63" + data[236:]):
        try:
            message = dhcp.parse(candidate)
        except dhcp.DhcpError:
            continue
        dhcp.answer(message, LEASE)


@given(
    st.dictionaries(st.integers(1, 254).filter(lambda n: n != 52), st.binary(min_size=1, max_size=300), max_size=3),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=16),
)
def test_what_is_built_is_read_back(options, xid, mac):
    message = Message(1, xid, mac, options)
    assert dhcp.parse(dhcp.build(message)) == message
