"""How schemas and kinds are built of tables and packages."""

import json

import pytest

from isthmus.kinds import definitions
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

MODEL = """
/**
 * KubeVirt API
 */
import { exists } from '../runtime';

/**
 * A disk of a machine.
 * @export
 * @interface V1Disk
 */
export interface V1Disk {
    /**
     * Where it lies.
     * @type {string}
     * @memberof V1Disk
     */
    name: string;
    /**
     *
     * @type {Array<V1Part>}
     * @memberof V1Disk
     */
    parts?: Array<V1Part>;
    /**
     * Quantity is a fixed-point representation of a number.
     * @type {string}
     * @memberof V1Disk
     */
    size?: string;
    /**
     * Labels.
     * @type {{ [key: string]: string; }}
     * @memberof V1Disk
     */
    labels?: {
        [key: string]: string;
    };
    /**
     * The default one.
     * @type {boolean}
     * @memberof V1Disk
     */
    _default?: boolean;
}

export function V1DiskToJSON(value?: V1Disk | null): any {
    return {

        'name': value.name,
        'parts': value.parts === undefined ? undefined : ((value.parts as Array<any>).map(V1PartToJSON)),
        'size': value.size,
        'labels': value.labels,
        'default': value._default,
    };
}
"""


def test_a_typescript_model_becomes_a_definition():
    name, definition = typescript.definition(MODEL, packages.kubevirt_name)
    assert name == "io.kubevirt.api.v1.Disk"
    assert definition["description"] == "A disk of a machine."
    assert definition["required"] == ["name"]
    assert definition["properties"] == {
        "name": {"type": "string", "description": "Where it lies."},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/io.kubevirt.api.v1.Part"}},
        "size": {"$ref": f"#/components/schemas/{kubernetes.QUANTITY}"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Labels."},
        "default": {"type": "boolean", "description": "The default one."},
    }


def test_a_file_without_an_interface_has_no_definition():
    assert typescript.definition("export const x = 1;", packages.kubevirt_name) is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("V1VirtualMachine", "io.kubevirt.api.v1.VirtualMachine"),
        ("V1alpha1MigrationPolicy", "io.kubevirt.api.v1alpha1.MigrationPolicy"),
        ("V1beta1DataVolumeSpec", "io.kubevirt.cdi.v1beta1.DataVolumeSpec"),
        ("K8sIoApiCoreV1Affinity", "io.k8s.api.core.v1.Affinity"),
        ("K8sIoApimachineryPkgApisMetaV1ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
    ],
)
def test_models_get_the_names_of_their_packages(model, name):
    assert packages.kubevirt_name(model) == name


def test_a_field_table_adds_and_completes_fields():
    definitions_ = {"p.v1.A": {"type": "object", "properties": {"old": {"type": "string", "description": "kept"}}}}
    fields = {
        "old": {"nullable": True},
        "size": "quantity! | How large.",
        "many": {"type": "[]v1.B", "list": "map(name, kind)"},
        "by": "map[[]int32]",
        "free": "open",
    }
    fieldtables.apply({"package": "p", "definitions": {"v1.A": {"fields": fields}, "v1.B": {}}}, definitions_)
    assert definitions_["p.v1.A"]["required"] == ["size"]
    assert definitions_["p.v1.A"]["properties"] == {
        "old": {"type": "string", "description": "kept", "nullable": True},
        "size": {"$ref": f"#/components/schemas/{kubernetes.QUANTITY}", "description": "How large."},
        "many": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/p.v1.B"},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "kind"],
        },
        "by": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "integer", "format": "int32"}},
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }


@pytest.mark.parametrize("field", ["strin", {"list": "sorted"}, "[]"])
def test_a_field_table_with_a_mistake_names_the_field(field):
    with pytest.raises(ValueError, match=r"p\.v1\.A\.f"):
        fieldtables.apply({"package": "p", "definitions": {"v1.A": {"fields": {"f": field}}}}, {})


def test_a_row_has_its_defaults_filled_in(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "group: g\nversions: [v2, v1]\ndefinitions: p.{version}\nkinds:\n"
        "  - kind: Widget\n    columns: [Size | integer | .spec.size | 1]\n"
        "    subresources: [eviction policy/v1/Eviction create]\n"
    )
    (row,) = tables.read(tmp_path)
    assert (row["plural"], row["singular"], row["list_kind"]) == ("widgets", "widget", "WidgetList")
    assert (row["storage_version"], row["definition"], row["namespaced"]) == ("v2", "p.{version}.Widget", True)
    assert row["columns"] == [{"name": "Size", "type": "integer", "path": ".spec.size", "priority": 1}]
    assert row["subresources"] == [
        {"name": "eviction", "kind": "Eviction", "verbs": ["create"], "group": "policy", "version": "v1"}
    ]


@pytest.mark.parametrize("mistake", ["colour: red", "columns: [Size | int | .x]", "subresources: [log]"])
def test_a_row_with_a_mistake_names_the_file_and_the_kind(tmp_path, mistake):
    (tmp_path / "x.yaml").write_text(
        f"group: g\nversions: [v1]\ndefinitions: p\nkinds:\n  - kind: Widget\n    {mistake}\n"
    )
    with pytest.raises(ValueError, match=r"x\.yaml, Widget"):
        tables.read(tmp_path)


def test_texts_are_split_from_structure_and_put_back():
    schema = {
        "type": "object",
        "description": "top",
        "properties": {
            "description": {"type": "string", "description": "a field of that name"},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {"a": {"type": "string", "description": "x"}}},
            },
            "map": {"type": "object", "additionalProperties": {"type": "string", "description": "y"}},
            "plain": {"type": "string"},
        },
    }
    structure, texts = output.split(schema)
    assert "top" not in json.dumps(structure)
    assert "description" in structure["properties"]
    assert definitions.with_texts(structure, texts) == schema


def test_writing_twice_changes_nothing(tmp_path):
    schema = {"a.B": {"type": "object", "description": "b"}}
    output.write(tmp_path, {"kinds": []}, schema)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    output.write(tmp_path, {"kinds": []}, schema)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_kubernetes_definitions_are_plain_openapi():
    found = kubernetes.definitions()
    pod = found["io.k8s.api.core.v1.Pod"]
    assert pod["type"] == "object"
    assert "enum" not in pod["properties"]["kind"]
    assert "null" not in json.dumps(found["io.k8s.api.core.v1.PodSpec"])
    assert "$defs" not in json.dumps(found)
    assert found["io.k8s.apimachinery.pkg.runtime.RawExtension"]["x-kubernetes-preserve-unknown-fields"]


def test_a_row_of_a_protobuf_table_of_another_form_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("apiVersion: v1\npackage: p\nmessages:\n  A:\n    1: name\n")
    with pytest.raises(ValueError, match="not of the form"):
        prototables.read(tmp_path)


async def test_an_archive_that_is_not_the_locked_one_is_removed(tmp_path):
    lock = json.loads(npmpackage.LOCK.read_text())
    archive = tmp_path / f"{lock['name'].strip('@').replace('/', '-')}-{lock['version']}.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(npmpackage.IntegrityError, match="it was removed"):
        await npmpackage.fetch(tmp_path)
    assert not archive.exists()
