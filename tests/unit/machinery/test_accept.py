import pytest

from isthmus.machinery import accept, errors

KUBECTL_GET = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
DISCOVERY = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("header", "form", "version"),
    [
        ("", "", ""),
        ("*/*", "", ""),
        ("application/*", "", ""),
        ("application/json", "", ""),
        (KUBECTL_GET, "Table", "v1"),
        (DISCOVERY, "APIGroupDiscoveryList", "v2"),
        ("application/vnd.kubernetes.protobuf,application/json", "", ""),
        ("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,*/*", "", ""),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "PartialObjectMetadata", "v1"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "", ""),
        ("application/json;as=Table;v=v1;g=other,application/json", "", ""),
        ("application/json;q=0.1,application/json;as=Table;v=v1;g=meta.k8s.io;q=0.5", "Table", "v1"),
        (" Application/JSON ; AS=Table; V=v1beta1; G=meta.k8s.io", "Table", "v1beta1"),
    ],
)
def test_the_best_form_that_can_be_answered_is_chosen(header, form, version):
    media = accept.negotiate(header)
    assert (media.form, media.version) == (form, version)


def test_the_content_type_says_what_was_chosen():
    assert accept.negotiate(DISCOVERY).content_type == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )


def test_quality_orders_what_the_path_offers():
    offered = (accept.JSON, accept.YAML)
    assert accept.negotiate("application/yaml;q=0.9,application/json;q=0.8", offered).media_type == accept.YAML
    assert accept.negotiate("*/*", offered).media_type == accept.JSON
    assert accept.negotiate(f"{accept.OPENAPI_V2}", (accept.JSON, accept.OPENAPI_V2)).media_type == accept.OPENAPI_V2


@pytest.mark.parametrize(
    "header",
    ["text/html", "application/json;q=0", "application/json;as=Table;v=v2;g=meta.k8s.io", "application/json;q=x"],
)
def test_what_cannot_be_answered_is_a_406(header):
    with pytest.raises(errors.StatusError) as refused:
        accept.negotiate(header)
    assert refused.value.code == 406


def test_a_path_without_forms_answers_none():
    with pytest.raises(errors.StatusError):
        accept.negotiate("application/json;as=Table;v=v1;g=meta.k8s.io", forms=frozenset())
