"""Request bodies to JSON objects: JSON and YAML, bounded in size, depth and alias expansion, repeated keys on request.

JSON goes through orjson. Repeated keys, which orjson resolves silently (the last wins), are looked for only when asked
(`fieldValidation=Strict|Warn`); a body that is byte for byte what orjson would write has none: the usual case.
Every failure is a StatusError 400, 413 or 415. Called by the server's handlers; YAML itself is in `yamldecode`.
"""

import json
from collections.abc import Iterator
from typing import Any

import orjson

from isthmus.machinery import errors
from isthmus.machinery.pruning import Path, show_path

MAX_BYTES = 3 * 1024 * 1024
"""kube-apiserver's limit of a request body."""
MAX_DEPTH = 200
"""Levels of objects and lists. The deepest schema of KubeVirt's CRDs has about 60."""

_ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


def decode(
    body: bytes, media_type: str, *, find_duplicates: bool = False, max_bytes: int = MAX_BYTES
) -> tuple[Any, list[str]]:
    """The value in a body, and the paths of fields that occur more than once (`spec.ports[0].name`; each once).

    `media_type` may have parameters; patch types (`application/merge-patch+json`, `apply-patch+yaml`) are understood by
    their suffix. Raises StatusError: 413 for too many bytes, 415 for another media type, 400 for what does not parse.
    """
    if len(body) > max_bytes:
        raise errors.too_large(f"Request entity too large: limit is {max_bytes}")
    kind = media_type.partition(";")[0].strip().lower()
    if kind in ("", "application/json") or kind.endswith("+json"):
        value, duplicates = _json(body, find_duplicates)
    elif kind in ("application/yaml", "application/x-yaml", "text/yaml") or kind.endswith("+yaml"):
        value, duplicates = _yaml(body, find_duplicates)
    else:
        message = "the body of the request was in an unknown format - accepted media types include: "
        raise errors.unsupported_media_type(message + _ACCEPTED)
    return value, duplicates


def _json(body: bytes, find_duplicates: bool) -> tuple[Any, list[str]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.bad_request(f"json parse error: {error}") from error
    _limit_depth(body, value)
    return value, _json_duplicates(body, value) if find_duplicates else []


def _limit_depth(body: bytes, value: Any) -> None:
    """Refuse values so deep that walking them could exhaust the stack. Counting brackets settles nearly all bodies."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if parent.__class__ is dict else parent)
            if child.__class__ is dict or child.__class__ is list
        ]
        if not level:
            return
    raise errors.bad_request(f"the object is nested more than {MAX_DEPTH} levels deep")


class _Pairs(list[tuple[str, Any]]):
    """An object of a JSON text as it was written: repeated keys still there."""


def _json_duplicates(body: bytes, value: Any) -> list[str]:
    if orjson.dumps(value) == body:
        return []
    repeated = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in pairs}) < len(pairs)

    json.loads(body, object_pairs_hook=look)
    if not repeated:
        return []
    return list(dict.fromkeys(show_path(p) for p in _repeated(json.loads(body, object_pairs_hook=_Pairs), ())))


def _repeated(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            if key in seen:
                yield (*path, key)
            seen.add(key)
            yield from _repeated(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, (*path, index))


def _yaml(body: bytes, find_duplicates: bool) -> tuple[Any, list[str]]:
    if body.lstrip()[:1] == b"{":  # what is sent as YAML is JSON as a rule: server-side apply of every Go client
        try:
            return _json(body, find_duplicates)
        except errors.StatusError:
            pass  # a YAML flow mapping, or the YAML parser words the error
    from isthmus.machinery import yamldecode  # PyYAML: a fifth of the server's start, for bodies that are rare

    try:
        value, repeated = yamldecode.decode(body, max_depth=MAX_DEPTH)
    except yamldecode.YamlError as error:
        raise errors.bad_request(f"error converting YAML to JSON: yaml: {error}") from error
    return value, list(dict.fromkeys(map(show_path, repeated))) if find_duplicates else []
