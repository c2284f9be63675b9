"""`python -m isthmus.kinds.generate.gotypes DIR`: renew `tables/protobuf/` for a new Kubernetes version.

DIR holds checkouts of kubernetes/api, apimachinery, apiextensions-apiserver and kube-aggregator at one version. The
tags of the Go structs say all that decoding needs: field numbers, JSON names, what is inlined, and which fields are
pointers (a zero that was set) and which are not (a zero means unset). Run by hand, once a version; the tables are
committed.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Go package -> (api version, package of the OpenAPI definitions)
PACKAGES = {
    "k8s.io/api/core/v1": ("v1", "io.k8s.api.core.v1"),
    "k8s.io/apimachinery/pkg/apis/meta/v1": ("meta.k8s.io/v1", "io.k8s.apimachinery.pkg.apis.meta.v1"),
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1": (
        "apiextensions.k8s.io/v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    ),
    "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1": (
        "apiregistration.k8s.io/v1",
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
    ),
}
_GROUPS = {
    "admissionregistration/v1": "admissionregistration.k8s.io",
    "apps/v1": "apps",
    "authentication/v1": "authentication.k8s.io",
    "authorization/v1": "authorization.k8s.io",
    "autoscaling/v1": "autoscaling",
    "autoscaling/v2": "autoscaling",
    "batch/v1": "batch",
    "certificates/v1": "certificates.k8s.io",
    "coordination/v1": "coordination.k8s.io",
    "discovery/v1": "discovery.k8s.io",
    "events/v1": "events.k8s.io",
    "flowcontrol/v1": "flowcontrol.apiserver.k8s.io",
    "networking/v1": "networking.k8s.io",
    "node/v1": "node.k8s.io",
    "policy/v1": "policy",
    "rbac/v1": "rbac.authorization.k8s.io",
    "resource/v1": "resource.k8s.io",
    "scheduling/v1": "scheduling.k8s.io",
    "storage/v1": "storage.k8s.io",
}
for _folder, _group in _GROUPS.items():
    _name, _version = _folder.split("/")
    PACKAGES[f"k8s.io/api/{_folder}"] = (f"{_group}/{_version}", f"io.k8s.api.{_name}.{_version}")

# Types whose JSON is not that of a struct: the codec knows them by these names.
SPECIAL = {
    "k8s.io/apimachinery/pkg/apis/meta/v1.Time": "time",
    "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": "microtime",
    "k8s.io/apimachinery/pkg/apis/meta/v1.Duration": "duration",
    "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1": "raw",
    "k8s.io/apimachinery/pkg/api/resource.Quantity": "quantity",
    "k8s.io/apimachinery/pkg/util/intstr.IntOrString": "int-or-string",
    "k8s.io/apimachinery/pkg/runtime.RawExtension": "raw",
    "k8s.io/apimachinery/pkg/types.UID": "string",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON": "raw",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray": "schema-or-array",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool": "schema-or-bool",
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}
_SCALARS = {
    "string": "string",
    "bool": "bool",
    "int32": "int32",
    "int64": "int64",
    "float64": "double",
    "[]byte": "bytes",
}

_IMPORT = re.compile(r'^\s+(?:(\w+) )?"(k8s\.io/[^"]+)"', re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct ?\{(?:\}|\n(.*?)^\})", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"^type (\w+) ([\w.\[\]*]+)\s*$", re.MULTILINE)
_FIELD = re.compile(r"^\s+(?:(?P<name>\w+)\s+)?(?P<type>[\w.\[\]*]+)\s+`(?P<tags>[^`]*)`", re.MULTILINE)
_TAG = re.compile(r'(\w+):"([^"]*)"')


@dataclass
class _Package:
    path: str
    imports: dict[str, str] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    structs: dict[str, str] = field(default_factory=dict)


def _read(path: str, folder: Path) -> _Package:
    out = _Package(path)
    for file in sorted(folder.glob("*.go")):
        if file.name.startswith(("generated.", "zz_")) or file.name.endswith("_test.go"):
            continue
        text = file.read_text()
        for alias, target in _IMPORT.findall(text):
            out.imports[alias or target.rsplit("/", 1)[-1]] = target
        out.named.update(_NAMED.findall(text))
        out.structs.update(_STRUCT.findall(text))
    return out


class _Types:
    """Resolves Go types across the packages."""

    def __init__(self, packages: dict[str, _Package]) -> None:
        self.packages = packages

    def resolve(self, text: str, package: _Package, *, repeated: bool) -> str:
        """The table's name of a type. A named list that is no repeated field travels as a message of items."""
        text = text.lstrip("*")
        if text in _SCALARS:
            return _SCALARS[text]
        if text.startswith("[]"):
            return "[]" + self.resolve(text[2:], package, repeated=False)
        if match := re.match(r"map\[[\w.]+\](.*)", text):
            return f"map[{self.resolve(match[1], package, repeated=False)}]"
        home, name = package, text
        if "." in text:
            alias, name = text.split(".")
            path = package.imports[alias]
            if special := SPECIAL.get(f"{path}.{name}"):
                return special
            home = self.packages[path]
        if special := SPECIAL.get(f"{home.path}.{name}"):
            return special
        if name in home.structs:
            return f"{PACKAGES[home.path][1]}.{name}"
        inner = self.resolve(home.named[name], home, repeated=False)
        return "strings" if inner == "[]string" and not repeated else inner


def _fields(body: str, package: _Package, types: _Types) -> Iterator[tuple[int, str]]:
    for match in _FIELD.finditer(body):
        tags = dict(_TAG.findall(match["tags"]))
        parts = tags.get("protobuf", "-").split(",")
        if len(parts) < 3 or not parts[1].isdigit():
            continue
        json_name, *options = tags.get("json", "").split(",")
        type_name = types.resolve(match["type"], package, repeated="rep" in parts)
        name = "." if "inline" in options else json_name
        if name in ("", "-"):
            continue
        marks = "?" if match["type"].startswith("*") else "" if "omitempty" in options else "!"
        yield int(parts[1]), f"{name} {type_name}{marks}"


def tables(root: Path) -> Iterator[tuple[str, str]]:
    """(file name, content) of each package's table."""
    packages = {}
    for path in PACKAGES:
        folder = root / path.removeprefix("k8s.io/")
        packages[path] = _read(path, folder)
    types = _Types(packages)
    for path, package in packages.items():
        api_version, definitions = PACKAGES[path]
        lines = [f"apiVersion: {api_version}", f"package: {definitions}", "messages:"]
        for name, body in sorted(package.structs.items()):
            if f"{path}.{name}" in SPECIAL:
                continue
            rows = sorted(_fields(body, package, types))
            lines.append(f"  {name}:" + ("" if rows else " {}"))
            lines += [f"    {number}: {_shorten(row, definitions)}" for number, row in rows]
        yield f"{api_version.replace('/', '.')}.yaml", "\n".join(lines) + "\n"


def _shorten(row: str, definitions: str) -> str:
    return row.replace(definitions + ".", "")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    options = parser.parse_args()
    out = Path(__file__).parents[1] / "tables" / "protobuf"
    out.mkdir(exist_ok=True)
    for name, content in tables(options.root):
        (out / name).write_text(content)


if __name__ == "__main__":
    main()
