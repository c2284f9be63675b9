"""/openapi/v2 and /openapi/v3 as clients fetch them."""

import gzip

import orjson
import pytest
from tests.unit.engine.crds import CRDS, crd

from isthmus.codec import gnostic
from isthmus.kinds import catalogue
from isthmus.machinery import accept, openapiv2

PROTOBUF = accept.OPENAPI_V2_OLD


async def test_v2_has_every_kind_each_reference_resolves_and_a_crd_is_in_it(api) -> None:
    await api("POST", CRDS, crd(), code=201)
    document = await api("GET", "/openapi/v2", code=200)
    definitions = document["definitions"]
    shown = {
        tuple(sorted(g.items())) for d in definitions.values() for g in d.get("x-kubernetes-group-version-kind", [])
    }
    for kind in api.server.registry.kinds():
        if kind.verbs:
            version = kind.versions[0]
            assert (("group", kind.group), ("kind", kind.kind), ("version", version)) in shown, kind.resource
    references = set(orjson.dumps(document).decode().split('"#/definitions/')[1:])
    assert {r.partition('"')[0] for r in references} <= set(definitions)
    assert "/apis/example.org/v1/namespaces/{namespace}/widgets/{name}" in document["paths"]


async def test_v2_as_protobuf_changes_with_the_kinds_and_only_then(api) -> None:
    await api("HEAD", "/openapi/v2", code=200, accept=PROTOBUF)
    etag = api.headers["etag"]
    assert api.headers["content-type"] == accept.OPENAPI_V2
    await api("GET", "/openapi/v2", code=304, accept=PROTOBUF, if_none_match=etag)
    await api("POST", CRDS, crd(), code=201)
    await api("HEAD", "/openapi/v2", code=200, accept=PROTOBUF, if_none_match=etag)
    assert api.headers["etag"] != etag
    await api("DELETE", f"{CRDS}/widgets.example.org", code=200)


async def test_v2_is_stored_gzipped_and_unpacked_for_who_takes_no_gzip(api) -> None:
    async with api.session.get(
        "/openapi/v2",
        headers={"authorization": f"Bearer {api.token}", "accept-encoding": "gzip"},
        auto_decompress=False,
    ) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        body = gzip.decompress(await packed.read())
    headers = {"authorization": f"Bearer {api.token}", "accept-encoding": "identity"}
    async with api.session.get("/openapi/v2", headers=headers) as plain:
        assert "content-encoding" not in plain.headers and await plain.read() == body


async def test_v2_in_a_form_that_nobody_knows_is_refused(api) -> None:
    await api("GET", "/openapi/v2", code=406, accept="application/com.github.proto-openapi.spec.v9+protobuf")


async def test_the_hash_of_a_document_depends_on_what_it_says_not_on_how_often_kinds_changed(api) -> None:
    before = await api("GET", "/openapi/v3", code=200)
    api.server.registry.generation += 1
    assert await api("GET", "/openapi/v3", code=200) == before


@pytest.mark.parametrize("name", sorted({"Schema", "Operation", "PathItem"}))
def test_every_key_of_our_documents_is_in_the_tables(name) -> None:
    """A keyword that the codec does not know would be lost without a word."""
    keys = set()

    def walk(value, message):
        keys.update(k for k in value if message == name and not k.startswith("x-"))
        if message == "Schema":
            for below in (value.get("items"), value.get("additionalProperties"), *value.get("properties", {}).values()):
                if below:
                    walk(below, "Schema")

    for definition in catalogue.DEFINITIONS:
        walk(openapiv2.definition(definition, catalogue.DEFINITIONS[definition]), "Schema")
    assert keys <= set(gnostic.MESSAGES[name])
