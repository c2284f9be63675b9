"""OpenAPI v2 (Swagger 2.0), made of the v3 documents: what `/openapi/v2` answers. Pure.

kubectl before 1.27 reads its schemas there (validation, apply, explain), newer ones still for `kind: List`, and so does
every client generator. v2 has no oneOf, no nullable and no untyped list, and kubectl's parser stumbles over what it
does not expect: `schema` leaves out what cannot be said, as kube-apiserver does for CustomResourceDefinitions
(apiextensions-apiserver, pkg/controller/openapi/v2/conversion.go). Called by the server's OpenAPI.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Object = dict[str, Any]

_V3_REF, _V2_REF = "#/components/schemas/", "#/definitions/"
_DROPPED = frozenset(("oneOf", "anyOf", "not", "allOf", "nullable", "items", "properties", "additionalProperties"))
# What stands for a value that may be a number or text: kubectl lets a number pass where a string is expected.
_TEXT_OR_NUMBER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
}
_ANY = "*/*"
_STREAMS = ("application/json", "application/json;stream=watch")

HEAD: Object = {
    "swagger": "2.0",
    "info": {"title": "Kubernetes", "version": "unversioned"},
    "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
    "security": [{"BearerToken": []}],
}


def definition(name: str, raw: Mapping[str, Any]) -> Object:
    """A definition in v2's form, by its name."""
    if (simple := _TEXT_OR_NUMBER.get(name)) is not None:
        return {k: v for k, v in raw.items() if k == "description"} | simple
    return schema(raw)


def schema(raw: Mapping[str, Any]) -> Object:
    """A v3 schema in v2's form."""
    if (reference := _reference(raw)) is not None:
        kept = {k: raw[k] for k in ("description", "default") if k in raw}
        return {"$ref": reference.replace(_V3_REF, _V2_REF), **kept}
    out = {key: value for key, value in raw.items() if key not in _DROPPED}
    opaque = bool(raw.get("nullable") or raw.get("x-kubernetes-preserve-unknown-fields"))
    if not opaque and isinstance(raw.get("items"), Mapping):
        out["items"] = schema(raw["items"])
    if not opaque and raw.get("properties"):
        out["properties"] = {name: schema(below) for name, below in raw["properties"].items()}
    if isinstance(raw.get("additionalProperties"), Mapping) and not raw.get("nullable"):
        out["additionalProperties"] = schema(raw["additionalProperties"])
    if opaque or (raw.get("type") == "array" and "items" not in out):
        out.pop("type", None)
    if opaque:
        out.pop("required", None)
    return out


def _reference(raw: Mapping[str, Any]) -> str | None:
    """Where a schema refers to, directly or as the only member of an allOf."""
    if isinstance(direct := raw.get("$ref"), str):
        return direct
    members: list[Object] = raw.get("allOf") or []
    if len(members) == 1 and isinstance(inner := members[0].get("$ref"), str):
        return inner
    return None


def paths(document: Mapping[str, Any]) -> Iterator[tuple[str, Object]]:
    """The path items of a v3 document in v2's form."""
    for path, item in document["paths"].items():
        yield (
            path,
            {key: _parameters(value) if key == "parameters" else operation(value) for key, value in item.items()},
        )


def operation(raw: Mapping[str, Any]) -> Object:
    """A v3 operation in v2's form: its body is a parameter, its media types lists."""
    out = {key: value for key, value in raw.items() if key not in ("parameters", "requestBody", "responses")}
    parameters = _parameters(raw.get("parameters") or ())
    body = raw.get("requestBody")
    if body is not None:
        kinds = dict(body["content"])
        content = next(iter(kinds.values()))
        required = {"required": True} if body.get("required") else {}
        parameters.append({"in": "body", "name": "body", **required, "schema": schema(content["schema"])})
        out["consumes"] = [_ANY] if _ANY in kinds else list(kinds)
    else:
        out["consumes"] = [_ANY]
    out["produces"] = list(_STREAMS) if raw.get("x-kubernetes-action") in ("list", "watch") else [_STREAMS[0]]
    out["parameters"] = parameters
    out["responses"] = {code: _response(answer) for code, answer in raw["responses"].items()}
    out["schemes"] = ["https"]
    return out


def _parameters(raw: Any) -> list[Object]:
    """v3 keeps a parameter's type in a schema of its own."""
    return [{k: v for k, v in p.items() if k != "schema"} | p["schema"] for p in raw]


def _response(raw: Mapping[str, Any]) -> Object:
    out = {"description": raw["description"]}
    for content in (raw.get("content") or {}).values():
        out["schema"] = schema(content["schema"])
        break
    return out
