"""Paths and methods as RequestInfo, without a server."""

from types import SimpleNamespace

import pytest

from isthmus.engine.server import requestinfo
from isthmus.engine.server.message import Request
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.machinery import errors


def parse(method: str, target: str) -> RequestInfo:
    return requestinfo.parse(Request(method, target.encode(), {}, SimpleNamespace(certificate=None)))


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods?watch=1", ("watch", "", "v1", "", "pods", "", "")),
        ("HEAD", "/api/v1/namespaces/n/pods/p", ("get", "", "v1", "n", "pods", "p", "")),
        ("GET", "/api/v1/namespaces/n", ("get", "", "v1", "n", "namespaces", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", ("update", "", "v1", "n", "namespaces", "n", "finalize")),
        ("PUT", "/api/v1/namespaces/n/status", ("update", "", "v1", "n", "namespaces", "n", "status")),
        ("POST", "/apis/apps/v1/namespaces/n/deployments", ("create", "apps", "v1", "n", "deployments", "", "")),
        ("DELETE", "/apis/a/v1/namespaces/n/xs", ("deletecollection", "a", "v1", "n", "xs", "", "")),
        ("PATCH", "/apis/a/v1/namespaces/n/xs/d/scale", ("patch", "a", "v1", "n", "xs", "d", "scale")),
        ("GET", "/apis/a/v1/watch/namespaces/n/xs/x", ("watch", "a", "v1", "n", "xs", "x", "")),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dp", ("list", "", "v1", "", "pods", "p", "")),
        (
            "GET",
            "/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachineinstances/v/portforward/22/tcp",
            ("get", "subresources.kubevirt.io", "v1", "n", "virtualmachineinstances", "v", "portforward/22/tcp"),
        ),
    ],
)  # fmt: skip
def test_a_resource_path_says_what_it_is_about(method, target, expected) -> None:
    info = parse(method, target)
    found = (info.verb, info.group, info.version, info.namespace, info.resource, info.name, info.subresource)
    assert info.is_resource and found == expected


@pytest.mark.parametrize("path", ["/", "/healthz", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v3/api/v1"])  # fmt: skip  # noqa: E501
def test_what_lies_outside_the_resources_is_verb_and_path(path) -> None:
    info = parse("GET", path)
    assert (info.is_resource, info.verb, info.path) == (False, "get", path)


@pytest.mark.parametrize("path", ["/api/v1/../secrets", "/api/v1/namespaces//pods", "/api/v1/namespaces/%2e%2e/pods"])
def test_a_path_that_no_object_can_have_is_refused(path) -> None:
    with pytest.raises(errors.StatusError) as caught:
        parse("GET", path)
    assert caught.value.code == 400


def test_a_watch_path_cannot_be_written_to() -> None:
    with pytest.raises(errors.StatusError) as caught:
        parse("POST", "/api/v1/watch/pods")
    assert caught.value.code == 405
