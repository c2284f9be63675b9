"""What discovery, OpenAPI and tables need to know of a resource type: the shape of `kinds.kind.Kind`, seen from below.

`machinery` may not import `kinds`, so it states what it reads as protocols; any object with these attributes will do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Column(Protocol):
    """A printer column (metav1.TableColumnDefinition)."""

    @property
    def name(self) -> str:
        """The heading, which kubectl turns to upper case."""

    @property
    def type(self) -> str:
        """string, integer, number, boolean or date."""

    @property
    def format(self) -> str:
        """An OpenAPI format, "" for none."""

    @property
    def priority(self) -> int:
        """0: always shown; more: with `-o wide`."""

    @property
    def description(self) -> str:
        """A sentence for people."""


class Subresource(Protocol):
    """A subresource beyond status and scale."""

    @property
    def name(self) -> str:
        """The path below the object: "log", "vnc/screenshot"."""

    @property
    def kind(self) -> str:
        """The kind of its body or answer."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """Its verbs: get, create, update, patch, delete."""

    @property
    def group(self) -> str:
        """The group of `kind`, where `version` says that it is another than the resource's."""

    @property
    def version(self) -> str:
        """The version of `kind`; "" for the resource's own group and version."""


class ResourceType(Protocol):
    """A resource type. One without verbs stands for a resource of which only subresources are served here."""

    @property
    def group(self) -> str:
        """The API group, "" for the core one."""

    @property
    def versions(self) -> tuple[str, ...]:
        """The served versions."""

    @property
    def storage_version(self) -> str:
        """The version in which objects are stored."""

    @property
    def kind(self) -> str:
        """The kind of its objects."""

    @property
    def list_kind(self) -> str:
        """The kind of a list of them."""

    @property
    def plural(self) -> str:
        """The resource's name in paths."""

    @property
    def singular(self) -> str:
        """The name for one object."""

    @property
    def namespaced(self) -> bool:
        """Whether objects live in namespaces."""

    @property
    def short_names(self) -> tuple[str, ...]:
        """Abbreviations for kubectl."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Groups of resources for kubectl: "all"."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """What can be done with it."""

    @property
    def status(self) -> bool:
        """Whether there is a status subresource."""

    @property
    def scale(self) -> object | None:
        """Not None if there is a scale subresource."""

    @property
    def subresources(self) -> Sequence[Subresource]:
        """All other subresources."""

    @property
    def builtin(self) -> bool:
        """Whether it takes strategic merge patches and protobuf bodies."""

    @property
    def crd_schemas(self) -> Mapping[str, Any]:
        """Version -> openAPIV3Schema, for a type that a CustomResourceDefinition brought."""

    def definition_name(self, version: str) -> str:
        """The name of its OpenAPI definition; "" for a type that a CustomResourceDefinition brought."""
