"""OpenAPI definitions by name, decoded one by one from `generated/` when first asked for.

There are some 1,300 of them and a server uses a hundred: what nobody asks for costs its entry in the index only.
Descriptions are read apart, for the OpenAPI documents alone. Called by: `catalogue`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

Definition = Mapping[str, Any]
GENERATED = Path(__file__).with_name("generated")


class NotGeneratedError(Exception):
    """`generated/` is missing: the checkout was not set up."""

    def __init__(self) -> None:
        super().__init__(f"{GENERATED} is missing or incomplete: run `make setup` (python -m isthmus.kinds.generate)")


def read(name: str) -> bytes:
    """The content of one file of `generated/`. Raises NotGeneratedError."""
    try:
        return (GENERATED / name).read_bytes()
    except FileNotFoundError as error:
        raise NotGeneratedError from error


class Definitions(Mapping[str, Definition]):
    """The structure of every definition. `described` adds the texts."""

    def __init__(self) -> None:
        self._cache: dict[str, Definition] = {}

    @cached_property
    def _index(self) -> dict[str, dict[str, list[int]]]:
        index: dict[str, dict[str, list[int]]] = orjson.loads(read("index.json"))
        return index

    def _line(self, part: str, name: str) -> dict[str, Any]:
        offset, length = self._index[part][name]
        descriptor = os.open(GENERATED / f"{part}.jsonl", os.O_RDONLY | os.O_CLOEXEC)
        try:
            line: dict[str, Any] = orjson.loads(os.pread(descriptor, length, offset))
        finally:
            os.close(descriptor)
        return line

    def __getitem__(self, name: str) -> Definition:
        found = self._cache.get(name)
        if found is None:
            found = self._cache[name] = self._line("structure", name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._index["structure"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index["structure"])

    def __len__(self) -> int:
        return len(self._index["structure"])

    def described(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The named definitions and all that they refer to, with descriptions: `components.schemas` of a document.

        The result is not kept here: a document is built seldom and is large.
        """
        out: dict[str, dict[str, Any]] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in out:
                structure = self._line("structure", name)
                out[name] = with_texts(structure, self._line("text", name))
                waiting.extend(references(structure))
        return dict(sorted(out.items()))


def with_texts(structure: dict[str, Any], texts: dict[str, Any]) -> dict[str, Any]:
    """`structure` with its descriptions put back, in place (the form of `texts`: generate/output.py)."""
    if "d" in texts:
        structure["description"] = texts["d"]
    for name, below in texts.get("p", {}).items():
        with_texts(structure["properties"][name], below)
    for short, key in (("i", "items"), ("a", "additionalProperties")):
        if short in texts:
            with_texts(structure[key], texts[short])
    return structure


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to, with repetitions."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rsplit("/", 1)[-1]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)
