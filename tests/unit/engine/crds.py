"""A CustomResourceDefinition for tests, in as many versions as they need."""

from typing import Any

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.org/v1/namespaces/default/widgets"


def version(
    name: str = "v1", *, storage: bool = True, spec: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """One version; `spec` is the schema of the objects' spec."""
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True} if spec is None else spec
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def crd(*versions: dict[str, Any]) -> dict[str, Any]:
    """widgets.example.org."""
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {
            "group": "example.org",
            "names": names,
            "scope": "Namespaced",
            "versions": list(versions or (version(),)),
        },
    }


def widget(name: str = "w", /, *, version: str = "v1", **spec: Any) -> dict[str, Any]:
    """An object of it."""
    return {"apiVersion": f"example.org/{version}", "kind": "Widget", "metadata": {"name": name}, "spec": spec}
