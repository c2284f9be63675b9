"""What the server knows of one resource type. Built from a row of `tables/` or from a CustomResourceDefinition.

Made by `catalogue`; read by the registry, the server's discovery and OpenAPI, and `columns`.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get` (metav1.TableColumnDefinition), filled by a JSONPath or by a named function.

    `path` is a JSONPath without braces (".status.phase"); `function` names an entry of `columns.FUNCTIONS`, for
    the built-in columns that no path can express (a Pod's STATUS).
    """

    name: str
    type: str = "string"
    path: str = ""
    function: str = ""
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a kind keeps what `autoscaling/v1 Scale` shows: JSONPaths without braces."""

    spec_replicas: str = ".spec.replicas"
    status_replicas: str = ".status.replicas"
    selector: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource beyond status and scale, for discovery, e.g. pods/log."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type: one group and kind, in all its served versions (conversion strategy None)."""

    group: str
    versions: tuple[str, ...]  # served, the preferred first
    storage_version: str
    kind: str
    plural: str
    singular: str
    list_kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS  # ("create",) for reviews, which are answered and never stored
    status: bool = False
    scale: Scale | None = None
    columns: tuple[Column, ...] = ()  # without NAME, which is always first; empty: only AGE follows
    version_columns: dict[str, tuple[Column, ...]] = field(default_factory=dict, compare=False)  # where versions differ
    selectable_fields: tuple[str, ...] = ()  # beyond metadata.name and metadata.namespace: "spec.nodeName"
    subresources: tuple[Subresource, ...] = ()
    strategy: str = ""  # a named entry of registry.strategy.STRATEGIES, where data is not enough
    deprecated_versions: tuple[str, ...] = ()
    # version -> what clients are told instead of the usual sentence
    deprecation_warnings: dict[str, str] = field(default_factory=dict, compare=False)
    builtin: bool = True  # strategic merge patch and protobuf bodies: built-in kinds only
    definition: str = ""  # name of the OpenAPI definition, "{version}" where versions differ; "" for users' CRDs
    stored_as: str = ""  # the `resource` of the kind whose objects these are in other words (events.k8s.io: "events")
    conversion: str = ""  # a named entry of conversion.CONVERSIONS, where versions differ in more than apiVersion
    crd_schemas: dict[str, Any] = field(default_factory=dict, compare=False)  # version -> openAPIV3Schema, for CRDs

    def deprecation(self, version: str) -> str | None:
        """What clients that use a version are to be warned of."""
        if version not in self.deprecated_versions:
            return None
        return self.deprecation_warnings.get(version) or f"{self.api_version(version)} {self.kind} is deprecated"

    @property
    def store_key(self) -> str:
        """The `resource` under which the objects lie in the store: that of another kind for a kind `stored_as` it."""
        return self.stored_as or self.resource

    def definition_name(self, version: str) -> str:
        """The name of the OpenAPI definition of `version`; "" for a user's CRD."""
        return self.definition.replace("{version}", version)

    @property
    def resource(self) -> str:
        """`plural.group` or `plural`: the key of the kind in the store and the registry."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str | None = None) -> str:
        """`group/version` or `version`; the storage version by default."""
        version = version or self.storage_version
        return f"{self.group}/{version}" if self.group else version
