"""What of a VMI's access credentials goes through the guest's agent."""

import pytest

from isthmus.engine.node import credentials
from isthmus.engine.node.guest.agent import GuestAgentError


def public_key(secret, method, users=()):
    how = {method: {"users": list(users)} if method == "qemuGuestAgent" else {}}
    return {"sshPublicKey": {"source": {"secret": {"secretName": secret}}, "propagationMethod": how}}


PASSWORD = {"userPassword": {"source": {"secret": {"secretName": "p"}}, "propagationMethod": {"qemuGuestAgent": {}}}}
VMI = {
    "spec": {
        "accessCredentials": [
            public_key("one", "qemuGuestAgent", ["root", "fedora"]),
            public_key("two", "qemuGuestAgent", ["root"]),
            public_key("three", "noCloud"),
            PASSWORD,
        ]
    }
}
SECRETS = {
    "one": {"a": b"ssh-ed25519 A\n# a comment\n\n", "b": b"ssh-rsa B"},
    "two": {"c": b"ssh-ed25519 A\nssh-ed25519 C\n"},
    "p": {"fedora": b"secret\n"},
}


def test_only_what_the_agent_shall_bring_is_read():
    assert credentials.secret_names(VMI) == ["one", "two", "p"]
    assert credentials.secret_names({"spec": {}}) == []


def test_a_user_gets_the_keys_of_all_secrets_once():
    wanted = credentials.build_wanted(VMI, SECRETS)
    assert wanted.keys == {
        "root": ("ssh-ed25519 A", "ssh-rsa B", "ssh-ed25519 C"),
        "fedora": ("ssh-ed25519 A", "ssh-rsa B"),
    }
    assert wanted.passwords == {"fedora": b"secret"}


class OldAgent:
    """An agent without a command for keys."""

    def __init__(self, passwd):
        self.passwd, self.seen, self.files = passwd, [], {}

    async def set_authorized_keys(self, user, keys):
        raise GuestAgentError("guest-ssh-add-authorized-keys: not found")

    async def output(self, path, arguments):
        self.seen.append(" ".join([path, *arguments]))
        return self.passwd if path == "getent" else ""

    async def write_file(self, path, data):
        self.files[path] = data


async def test_an_agent_without_a_command_for_keys_gets_them_as_a_file():
    agent = OldAgent("fedora:x:1000:1001::/home/fedora:/bin/bash\n")
    await credentials.bring(agent, credentials.Wanted({"fedora": ("ssh-rsa B", "ssh-rsa C")}))
    assert agent.files == {"/home/fedora/.ssh/authorized_keys": b"ssh-rsa B\nssh-rsa C\n"}
    assert agent.seen[1:3] == [
        "mkdir -p /home/fedora/.ssh",
        "chown 1000:1001 /home/fedora/.ssh /home/fedora/.ssh/authorized_keys",
    ]


async def test_a_user_that_the_guest_does_not_know_is_told_with_both_reasons():
    with pytest.raises(GuestAgentError, match="not found; the guest does not say where nobody is at home"):
        await credentials.bring(OldAgent(""), credentials.Wanted({"nobody": ("ssh-rsa B",)}))


def test_the_digest_changes_with_a_key_and_tells_none():
    before = credentials.build_wanted(VMI, SECRETS).digest()
    assert before == credentials.build_wanted(VMI, dict(SECRETS)).digest()
    assert before != credentials.build_wanted(VMI, SECRETS | {"two": {"c": b"ssh-ed25519 D"}}).digest()
    assert len(before) == 64
