"""URL paths of the Kubernetes API. Pure."""

from urllib.parse import quote

from isthmus.client.api import Object, Resource


def resource_path(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`/apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME[/SUB]]`; no namespace means all of them."""
    parts = ["api", resource.version] if not resource.group else ["apis", resource.group, resource.version]
    if resource.namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [part for part in (resource.plural, name) if part]
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}/{quote(subresource, safe='/')}" if subresource else path


def object_path(resource: Resource, body: Object, subresource: str = "") -> str:
    """The path of an object that we hold."""
    metadata = body["metadata"]
    return resource_path(resource, metadata.get("namespace", ""), metadata["name"], subresource)
