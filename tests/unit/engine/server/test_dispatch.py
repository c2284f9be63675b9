"""How a request finds its function: the two tables hold what discovery promises, and nothing that nobody serves."""

import pytest

from isthmus.engine.registry import strategies
from isthmus.engine.registry.registry import Registry
from isthmus.engine.server import bodystream, dispatch, requestinfo
from isthmus.engine.server.handlers import create, get
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.engine.server.route import ANY
from isthmus.engine.server.subresources import pods, scale
from isthmus.kinds import catalogue
from isthmus.machinery.errors import StatusError

assert strategies
REGISTRY = Registry(catalogue.builtin_kinds())


def find(verb: str, resource: str, subresource: str = "", *, namespace: str = "default", name: str = "x"):
    plural, _, group = resource.partition(".")
    served = REGISTRY.by_resource(resource)
    version = served.kind.storage_version if served else "v1"
    info = RequestInfo(verb, "", True, group, version, namespace, plural, name, subresource)
    return dispatch.find(REGISTRY, info)[1]


def code(*arguments, **named) -> int:
    with pytest.raises(StatusError) as refused:
        find(*arguments, **named)
    return refused.value.code


def test_a_kind_without_a_row_of_its_own_has_the_rows_of_all() -> None:
    assert find("get", "pods") is get.get
    assert find("create", "deployments.apps", name="") is create.create
    assert find("get", "deployments.apps", "status") is get.get
    assert find("get", "deployments.apps", "scale") is scale.get


def test_what_a_kind_does_not_have_is_not_found_and_what_it_does_not_do_not_allowed() -> None:
    assert code("get", "configmaps", "status") == code("get", "pods", "scale") == code("get", "nothings") == 404
    assert code("create", "pods") == code("update", "pods", name="") == code("patch", "pods", "log") == 405
    assert code("get", "nodes", namespace="default") == 404  # of a namespace


def test_a_row_of_a_kinds_own_comes_first_and_is_about_its_collection() -> None:
    assert find("create", "bindings", name="") is pods.bindings
    assert code("create", "bindings") == code("get", "bindings", name="") == 405


def test_segments_behind_a_subresource_are_its_own() -> None:
    acts = "virtualmachineinstances.subresources.kubevirt.io"
    assert find("get", acts, "portforward/22/tcp") is find("get", acts, "portforward/80")
    assert code("get", acts, "portforward") == 405 and code("get", acts, "nothing/22") == 404


def test_every_row_is_of_something_that_is_served() -> None:
    known = {kind.resource for kind in REGISTRY.kinds()} | set(dispatch.STANDS_FOR) | {ANY}
    assert {resource for resource, _ in dispatch.RESOURCES} <= known
    assert all(REGISTRY.by_resource(kind) for kind in dispatch.STANDS_FOR.values())


def test_what_discovery_lists_is_served_or_refused_for_a_reason() -> None:
    for kind in REGISTRY.kinds():
        namespace = "default" if kind.namespaced else ""
        for sub in kind.subresources:
            segments = "portforward/1" if kind.group and sub.name == "portforward" else sub.name
            for verb in sub.verbs:
                try:
                    find(verb, kind.resource, segments, namespace=namespace)
                except StatusError as refused:
                    assert refused.code == 405 and "server does not allow" not in refused.message, (kind, sub, verb)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/healthz", []),
        ("/version/", []),
        ("/livez/etcd", ["etcd"]),
        ("/apis/apps/v1", ["apps", "v1"]),
        ("/apis/subresources.kubevirt.io/v1/version", ["v1"]),
        ("/openapi/v3/apis/apps/v1", ["apps", "v1"]),
        ("/v1beta1/upload-async", []),
    ],
)
def test_a_path_is_found_whole_or_by_its_segments(path, segments) -> None:
    route, found = dispatch.find_path(path)
    assert route is not None and list(found) == segments


@pytest.mark.parametrize("path", ["/nothing", "/apis//v1", "/livez/etcd/more", "/openapi/v3/apis/apps", "//healthz"])
def test_other_paths_are_not_found(path) -> None:
    assert dispatch.find_path(path)[0] is None


def test_what_is_no_resource_of_kubevirts_group_is_a_path() -> None:
    group = f"/apis/{requestinfo.SUBRESOURCE_GROUP}/{ANY}/"
    assert {p.removeprefix(group) for p in dispatch.PATHS if p.startswith(group)} == requestinfo.SUBRESOURCE_ROOT


def test_the_bodies_of_uploads_are_streamed_and_no_others() -> None:
    class Post:
        method = "POST"

    for path, route in dispatch.PATHS.items():
        Post.path = path
        assert bodystream.is_streamed(Post) == route.own_tokens, path


def test_only_uploads_bring_tokens_of_their_own() -> None:
    own = {path for path, route in dispatch.PATHS.items() if route.own_tokens}
    assert own and all("/upload" in path for path in own)
