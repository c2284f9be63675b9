"""Records: what is written is read back equal, and what cannot be read counts as absent."""

import json
from ipaddress import IPv4Address, IPv4Network

from isthmus.engine.node.net import cni, link
from isthmus.engine.node.net.model import DhcpOptions, Forward, NetworkConfig, Nic, NicRequest, PodNetwork, Port
from isthmus.engine.node.net.record import Record, Records
from isthmus.engine.node.net.resolver import Resolver

FACTS = link.Facts(NetworkConfig(), IPv4Network("10.42.0.0/24"), 1500, Resolver((IPv4Address("9.9.9.9"),), ("lab",)))
OWNER = link.Owner("scope", "u-1", "default", "web")


def record() -> Record:
    nad = cni.parse(
        '{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.10.0.0/24",'
        ' "routes": [{"dst": "10.0.0.0/8", "gw": "10.10.0.9"}]}}',
        "default/lan",
    )
    options = DhcpOptions("boot", "tftp", ("9.9.9.9",), {240: "x"})
    requests = [
        (NicRequest("default", "masquerade", PodNetwork(), ports=(Port(80),), dhcp=options), IPv4Address("10.42.0.2")),
        (NicRequest("lan", "bridge", nad), IPv4Address("10.10.0.2")),
        (NicRequest("bare", "bridge", cni.parse('{"type": "bridge"}', "default/bare")), None),
    ]
    links = tuple(link.decide(request, OWNER, FACTS, address) for request, address in requests)
    plain = (Nic("default", "", "02:00:00:00:00:01", 1500, forwards=(Forward("TCP", 80, "127.42.0.2", 10080),)),)
    return Record("u-1", "default", "web", "ns1", links, plain, complete=True)


def test_a_record_is_read_back_as_it_was(tmp_path):
    records = Records(tmp_path)
    records.write(record())
    assert Records(tmp_path).read("u-1") == record()
    assert records.uids() == ["u-1"]
    records.forget("u-1")
    assert records.read("u-1") is None


def test_fields_of_a_newer_version_are_passed_over(tmp_path):
    records = Records(tmp_path)
    records.write(record())
    raw = json.loads(records.path("u-1").read_text())
    raw["later"] = raw["links"][0]["later"] = 1
    records.path("u-1").write_text(json.dumps(raw))
    assert records.read("u-1") == record()


def test_a_record_of_another_version_counts_as_none_but_is_listed(tmp_path):
    records = Records(tmp_path)
    for number, text in enumerate(["", "[]", "{}", json.dumps({"uid": "x", "links": [{"a": 1}]}), "null"]):
        records.path(f"u-{number}").write_text(text)
        assert records.read(f"u-{number}") is None
    assert len(records.uids()) == 5


def test_a_uid_is_no_path(tmp_path):
    assert Records(tmp_path).path("../../etc/passwd").parent == tmp_path
