"""Image names as Kubernetes reads them."""

import pytest

from isthmus.engine.node.image import reference
from isthmus.engine.node.image.errors import ImageError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/web", "docker.io/team/web:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("quay.io/containerdisks/fedora:41", "quay.io/containerdisks/fedora:41"),
        ("localhost/web", "localhost/web:latest"),
        ("localhost:5000/web:1", "localhost:5000/web:1"),
        ("[::1]:5000/web:1", "[::1]:5000/web:1"),
        (f"quay.io/web@{DIGEST}", f"quay.io/web@{DIGEST}"),
        (f"quay.io/web:1@{DIGEST}", f"quay.io/web@{DIGEST}"),
        ("isthmus.dev/appliance", "isthmus.dev/appliance:latest"),
        ("  nginx  ", "docker.io/library/nginx:latest"),
    ],
)
def test_a_name_is_completed_as_docker_does(text, name):
    assert reference.parse(text).name == name
    assert reference.parse(name).name == name


@pytest.mark.parametrize(
    "text",
    ["", ":", "/", "a//b", "Web", "quay.io/Web", "web:", "web:a b", "web@sha256:12", f"web@md5:{'a' * 64}", "-x/y",
     "a" * 300,     "web:" + "t" * 129, "quay.io/../x", "web\n", "--src/x"],
)  # fmt: skip
def test_what_no_image_can_be_called_is_refused(text):
    if text == "web\n":  # surrounding blanks are forgiven, as the kubelet does
        assert reference.parse(text).tag == "latest"
        return
    with pytest.raises(ImageError) as error:
        reference.parse(text)
    assert error.value.reason == "InvalidImageName"


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("localhost:5000/a", True), ("127.0.0.1:5/a", True), ("127.9.9.9/a", True), ("[::1]:5/a", True), ("[::1]/a", True),
     ("10.0.0.1:5000/a", False), ("localhost.example.com/a", False), ("a", False)],
)  # fmt: skip
def test_only_registries_on_this_machine_may_be_spoken_to_in_the_clear(text, loopback):
    assert reference.parse(text).on_loopback is loopback


def test_the_default_pull_policy_depends_on_the_tag():
    assert [reference.default_pull_policy(t) for t in ("a", "a:latest", "a:1", f"a@{DIGEST}")] == [
        "Always", "Always", "IfNotPresent", "IfNotPresent",
    ]  # fmt: skip
