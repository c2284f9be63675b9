"""Writes `kinds/generated/`: the kinds in one JSON file, the definitions a line each with an index of their places.

A definition's text is kept apart from its structure, so that validation, which needs the structure of a few
definitions, decodes neither the others nor any prose. Called by: `__main__`. Read by: `catalogue`, `definitions`.
"""

import json
from pathlib import Path
from typing import Any

Definition = dict[str, Any]
Texts = dict[str, Any]


def write(folder: Path, documents: dict[str, Any], definitions: dict[str, Definition]) -> None:
    """Write the definitions, and each document as NAME.json, into `folder`.

    Each file is replaced as a whole, so a reader never sees half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: split(definition) for name, definition in sorted(definitions.items())}
    index = {}
    for place, part in enumerate(("structure", "text")):
        lines, index[part] = _lines({name: value[place] for name, value in parts.items()})
        _replace(folder / f"{part}.jsonl", lines)
    for name, document in (documents | {"index": index}).items():
        _replace(folder / f"{name}.json", _dump(document))


def _lines(values: dict[str, Any]) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The values a line each, and the offset and length of each line."""
    lines, index, place = [], {}, 0
    for name, value in values.items():
        line = _dump(value)
        index[name] = (place, len(line))
        lines.append(line)
        place += len(line) + 1
    return b"\n".join(lines) + b"\n", index


def split(schema: Definition) -> tuple[Definition, Texts]:
    """A schema without its descriptions, and the descriptions in a tree of the same shape.

    A text node is {"d": description, "p": {property: node}, "i": node of items, "a": node of additionalProperties}.
    """
    structure = {key: value for key, value in schema.items() if key != "description"}
    texts: Texts = {"d": schema["description"]} if schema.get("description") else {}
    if "properties" in schema:
        parts = {name: split(value) for name, value in schema["properties"].items()}
        structure["properties"] = {name: part[0] for name, part in parts.items()}
        if below := {name: part[1] for name, part in parts.items() if part[1]}:
            texts["p"] = below
    for key, short in (("items", "i"), ("additionalProperties", "a")):
        if isinstance(schema.get(key), dict):
            structure[key], below = split(schema[key])
            if below:
                texts[short] = below
    return structure, texts


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _replace(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.replace(path)
