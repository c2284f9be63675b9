import base64
import json

import pytest

from isthmus.engine.node.guest import cloudinit
from isthmus.engine.node.vm.errors import SpecError

WHO = cloudinit.Identity("web", "shop", "web-1", "5d307ca9-b3ef-428c-8861-06e72d69f223")
NONE = cloudinit.Secrets({}, {})


def test_nocloud_has_its_label_and_files():
    label, files = cloudinit.build_files("cloudInitNoCloud", {"userData": "#cloud-config\n"}, WHO, NONE)
    assert label == "cidata"
    assert set(files) == {"meta-data", "user-data"}
    assert files["user-data"] == b"#cloud-config\n"
    meta = json.loads(files["meta-data"])
    assert meta == {"instance-id": WHO.instance_id, "local-hostname": "web-1"}


def test_config_drive_lies_below_openstack():
    source = {"userDataBase64": base64.b64encode(b"hi").decode(), "networkData": "{}"}
    label, files = cloudinit.build_files("cloudInitConfigDrive", source, WHO, NONE)
    assert label == "config-2"
    assert files["openstack/latest/user_data"] == b"hi"
    assert files["openstack/latest/network_data.json"] == b"{}"
    assert json.loads(files["openstack/latest/meta_data.json"])["instance_id"] == "web.shop"


def test_network_data_goes_to_network_config():
    _, files = cloudinit.build_files("cloudInitNoCloud", {"networkData": "version: 2\n"}, WHO, NONE)
    assert files["network-config"] == b"version: 2\n"


@pytest.mark.parametrize("key", ["userdata", "userData"])
def test_a_secret_wins_under_either_name(key):
    secrets = cloudinit.Secrets({key: b"from secret"}, {"networkdata": b"net"})
    _, files = cloudinit.build_files("cloudInitNoCloud", {"userData": "plain"}, WHO, secrets)
    assert files["user-data"] == b"from secret"
    assert files["network-config"] == b"net"


def test_ssh_keys_go_into_the_meta_data():
    secrets = cloudinit.Secrets({}, {}, ("ssh-ed25519 AAA", "ssh-rsa BBB"))
    _, files = cloudinit.build_files("cloudInitNoCloud", {}, WHO, secrets)
    assert json.loads(files["meta-data"])["public-keys"] == {"0": "ssh-ed25519 AAA", "1": "ssh-rsa BBB"}


def test_the_instance_follows_the_firmware():
    other = cloudinit.Identity("web", "shop", "web-1", "00000000-0000-0000-0000-000000000001")
    assert other.instance_id != WHO.instance_id


def test_what_is_not_base64_is_refused():
    with pytest.raises(SpecError, match="userDataBase64"):
        cloudinit.build_files("cloudInitNoCloud", {"userDataBase64": "!"}, WHO, NONE)
