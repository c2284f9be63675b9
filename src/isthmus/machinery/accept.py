"""Content negotiation: what an `Accept` header makes the server answer.

Clients of Kubernetes ask for forms by parameters of the media type, e.g. kubectl get:
`application/json;as=Table;v=v1;g=meta.k8s.io,application/json`. The first range that can be answered wins, in the order
of quality, then of the header (RFC 9110, section 12.5.1). Results are kept by header: clients send few different ones.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from isthmus.machinery import errors

JSON: Final = "application/json"
YAML: Final = "application/yaml"
OPENAPI_V2: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OPENAPI_V2_OLD: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"  # as kubectl says it

_FORMS: Final = {
    "Table": ("meta.k8s.io", ("v1", "v1beta1")),
    "PartialObjectMetadata": ("meta.k8s.io", ("v1", "v1beta1")),
    "PartialObjectMetadataList": ("meta.k8s.io", ("v1", "v1beta1")),
    "APIGroupDiscoveryList": ("apidiscovery.k8s.io", ("v2", "v2beta1")),
}
OBJECT_FORMS: Final = frozenset(("Table", "PartialObjectMetadata", "PartialObjectMetadataList"))
DISCOVERY_FORMS: Final = frozenset(("APIGroupDiscoveryList",))

_MAX_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Media:
    """What is answered: `form` is "" for the object as it is, else the kind that shows it, in the form's `version`."""

    media_type: str
    content_type: str
    form: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Range:
    quality: float
    media_type: str
    parameters: dict[str, str]


def _ranges(header: str) -> Iterator[_Range]:
    for part in header.split(","):
        media_type, *rest = (piece.strip() for piece in part.split(";"))
        pairs = (piece.partition("=") for piece in rest if piece)
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if media_type and quality > 0:
            yield _Range(quality, media_type.lower(), parameters)


def _serves(asked: str, offered: str) -> bool:
    return asked in (offered, "*/*") or (asked.endswith("/*") and offered.startswith(asked[:-1]))


def _answer(asked: _Range, offered: Collection[str], forms: Collection[str]) -> Media | None:
    media_type = next((o for o in offered if _serves(asked.media_type, o)), None)
    if media_type is None:
        return None
    form = asked.parameters.get("as", "")
    if not form:
        return Media(media_type, media_type)
    if form not in forms:
        return None
    group, versions = _FORMS[form]
    version = asked.parameters.get("v", "")
    if asked.parameters.get("g", "") != group or version not in versions:
        return None
    return Media(media_type, f"{media_type};g={group};v={version};as={form}", form, version)


@lru_cache(maxsize=512)
def negotiate(
    header: str,
    offered: tuple[str, ...] = (JSON,),
    forms: frozenset[str] = OBJECT_FORMS | DISCOVERY_FORMS,
) -> Media:
    """What to answer for an Accept header; the first of `offered` if there is none. Raises StatusError 406.

    `forms` are the `as=` forms that this path can be shown in.
    """
    if not header.strip():
        return Media(offered[0], offered[0])
    ranked = sorted(_ranges(header[:_MAX_HEADER]), key=lambda r: -r.quality)
    for asked in ranked:
        if (media := _answer(asked, offered, forms)) is not None:
            return media
    message = "only the following media types are accepted: " + ", ".join(offered)
    raise errors.not_acceptable(message)
