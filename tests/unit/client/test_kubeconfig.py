"""Kubeconfig files: what is read, what is written, and what is said when they are wrong."""

import base64
import stat

import pytest
import yaml

from isthmus.client import kubeconfig
from isthmus.client.connect import find_access


def config(**user):
    return {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "apps"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://h:6443/", "certificate-authority": "ca.pem"}}],
        "users": [{"name": "u", "user": user}],
    }


def test_files_are_read_relative_to_the_kubeconfig_and_data_is_decoded(tmp_path):
    (tmp_path / "ca.pem").write_bytes(b"CA")
    data = base64.b64encode(b"CERT").decode()
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config(**{"client-certificate-data": data, "token": "t"})))
    access = kubeconfig.load(path)
    assert (access.server, access.ca, access.certificate) == ("https://h:6443", b"CA", b"CERT")
    assert (access.token, access.namespace) == ("t", "apps")


def test_what_is_written_is_private_and_reads_back_the_same(tmp_path):
    access = kubeconfig.Access("https://h", b"CA", b"CERT", b"KEY", token="t", namespace="n")
    path = tmp_path / "deep" / "kubeconfig"
    kubeconfig.write(path, access)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kubeconfig.load(path) == access
    assert [p.name for p in path.parent.iterdir()] == ["kubeconfig"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"current-context": "two"}, r"no context 'two' \(there are: one\)"),
        ({"clusters": []}, r"no cluster 'c' \(there are: none\)"),
        ({"users": [{"name": "u", "user": {"client-key-data": "***"}}]}, "client-key-data is not base64"),
        ({"clusters": [{"name": "c", "cluster": {"server": ""}}]}, "has no server"),
        ({"users": [{"name": "u", "user": {"client-key": "missing.pem"}}]}, "missing.pem cannot be read"),
    ],
)
def test_an_error_names_the_file_and_the_entry(tmp_path, change, words):
    (tmp_path / "ca.pem").write_bytes(b"CA")
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config() | change))
    with pytest.raises(kubeconfig.KubeconfigError, match=words) as caught:
        kubeconfig.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(kubeconfig.KubeconfigError):
        kubeconfig.load(path)


def test_a_pod_uses_its_service_account(tmp_path, monkeypatch):
    for name, text in {"token": "t", "ca.crt": "CA", "namespace": "apps"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    access = kubeconfig.in_cluster(tmp_path)
    assert access is not None
    assert (access.server, access.namespace, access.token_file) == ("https://[fd00::1]:443", "apps", tmp_path / "token")


def test_the_environment_names_the_default_file(tmp_path, monkeypatch):
    path = tmp_path / "config"
    kubeconfig.write(path, kubeconfig.Access("https://h"))
    monkeypatch.setenv("KUBECONFIG", f":{path}:/other")
    assert find_access(None).server == "https://h"
