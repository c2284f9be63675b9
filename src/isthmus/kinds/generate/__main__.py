"""`python -m isthmus.kinds.generate [--cache DIR]`: build `kinds/generated/`. Idempotent; a few seconds.

Kubernetes' definitions come from the PyPI package kubernetes-validate, KubeVirt's and CDI's from a pinned npm package,
the rest from `tables/fields/`. Run by `make setup` and by the wheel build.
"""

import argparse
import asyncio
import copy
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from isthmus.kinds.generate import (
    fieldtables,
    kubernetes,
    npmpackage,
    output,
    packages,
    prototables,
    tables,
    typescript,
)
from isthmus.lib import run

Definition = dict[str, Any]

KINDS = Path(__file__).parents[1]
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"


def build(archive: Path) -> tuple[list[tables.Row], dict[str, Definition]]:
    """The kinds and all definitions, from the npm package's archive and what is installed."""
    definitions = kubernetes.definitions()
    known = frozenset(definitions)
    for bundle in (packages.KUBEVIRT_BUNDLE, packages.CDI_BUNDLE):
        for name, definition in packages.definitions(bundle, npmpackage.member(archive, bundle), known).items():
            _merge(definitions.setdefault(name, {}), definition)
    for path in sorted((KINDS / "tables" / "fields").glob("*.yaml")):
        table = yaml.safe_load(path.read_text())
        _copy_types(table, definitions)
        fieldtables.apply(table, definitions)
    kinds = tables.read(KINDS / "tables")
    for row in kinds:
        _name_kind(row, definitions)
    _check_references(definitions)
    return kinds, definitions


def _merge(into: Definition, other: Definition) -> None:
    """Two packages have the type: the fields of both."""
    properties = into.setdefault("properties", {})
    for name, field in other.get("properties", {}).items():
        properties.setdefault(name, field)
    for key, value in other.items():
        into.setdefault(key, value)
    if not properties:
        del into["properties"]


def _copy_types(table: dict[str, Any], definitions: dict[str, Definition]) -> None:
    """`copies`: a type of one version that is the same in another, references among them included."""
    package = table["package"]
    renames = {f"{package}.{old}": f"{package}.{new}" for new, old in (table.get("copies") or {}).items()}
    for old, new in renames.items():
        text = json.dumps(copy.deepcopy(definitions[old]))
        for a, b in renames.items():
            text = text.replace(f'"#/components/schemas/{a}"', f'"#/components/schemas/{b}"')
        definitions[new] = json.loads(text)


def _name_kind(row: tables.Row, definitions: dict[str, Definition]) -> None:
    """Say in the definition of a kind, and of its list, which kinds they are; make the list if there is none.

    A kind without verbs is only a parent of subresources (subresources.kubevirt.io): no object is of that kind.
    """
    for version in row["versions"] if row["verbs"] else ():
        name = row["definition"].replace("{version}", version)
        definition = definitions[name]
        _add_identity(definition, row["group"], version, row["kind"])
        properties = definition.setdefault("properties", {})
        for field in ("apiVersion", "kind"):
            properties.setdefault(field, {"type": "string"})
        properties.setdefault("metadata", typescript.reference(OBJECT_META))
        if "list" in row["verbs"]:
            listing = definitions.setdefault(f"{name}List", _list_of(name, row["kind"]))
            _add_identity(listing, row["group"], version, row["list_kind"])


def _add_identity(definition: Definition, group: str, version: str, kind: str) -> None:
    identities = definition.setdefault("x-kubernetes-group-version-kind", [])
    identity = {"group": group, "kind": kind, "version": version}
    if identity not in identities:
        identities.append(identity)


def _list_of(name: str, kind: str) -> Definition:
    return {
        "type": "object",
        "description": f"A list of {kind} objects.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": typescript.reference(name)},
            "kind": {"type": "string"},
            "metadata": typescript.reference(LIST_META),
        },
    }


def _check_references(definitions: dict[str, Definition]) -> None:
    """Raise ValueError for a reference to nothing: a schema with one would fail only when somebody meets it."""

    def walk(schema: Any, place: str) -> None:
        if isinstance(schema, dict):
            ref = schema.get("$ref")
            if isinstance(ref, str) and (name := ref.rsplit("/", 1)[-1]) not in definitions:
                raise ValueError(f"{place}: there is no definition {name}")
            for key, value in schema.items():
                walk(value, f"{place}.{key}")
        elif isinstance(schema, list):
            for value in schema:
                walk(value, place)

    for name, definition in definitions.items():
        walk(definition, name)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m isthmus.kinds.generate", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="where the npm package is kept")
    parser.add_argument("--output", type=Path, default=KINDS / "generated", help="the directory to write")
    options = parser.parse_args(arguments)
    try:
        archive = asyncio.run(npmpackage.fetch(options.cache))
    except (run.CommandError, npmpackage.IntegrityError) as error:
        parser.exit(1, f"the schemas' npm package cannot be had: {error}\n")
    kinds, definitions = build(archive)
    protobuf = prototables.read(KINDS / "tables" / "protobuf")
    crds = [yaml.safe_load(path.read_text()) for path in sorted((KINDS / "crds").glob("*.yaml"))]
    output.write(options.output, {"kinds": kinds, "protobuf": protobuf, "crds": crds}, definitions)
    sys.stdout.write(f"{len(kinds)} kinds, {len(definitions)} definitions in {options.output}\n")


if __name__ == "__main__":
    main()
