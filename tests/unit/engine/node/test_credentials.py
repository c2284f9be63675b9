"""What of a VMI's access credentials goes through the guest's agent."""

from isthmus.engine.node import credentials


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


def test_the_digest_changes_with_a_key_and_tells_none():
    before = credentials.build_wanted(VMI, SECRETS).digest()
    assert before == credentials.build_wanted(VMI, dict(SECRETS)).digest()
    assert before != credentials.build_wanted(VMI, SECRETS | {"two": {"c": b"ssh-ed25519 D"}}).digest()
    assert len(before) == 64
