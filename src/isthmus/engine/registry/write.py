"""What a write request brings along besides the object."""

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(slots=True)
class WriteContext:
    """Who writes, and how. `warnings` is filled on the way and becomes Warning headers."""

    user: str
    groups: tuple[str, ...] = ()
    version: str = ""  # the API version of the request's path
    subresource: str = ""
    manager: str = ""
    operation: str = "Update"  # or Apply, when managedFields are made already
    dry_run: bool = False
    internal: bool = False  # the server writes on the user's behalf, having checked what the user may do
    field_validation: str = "Warn"  # Strict, Warn or Ignore
    duplicates: list[str] = field(
        default_factory=list
    )  # fields that the body has twice, to be refused with the unknown
    warnings: list[str] = field(default_factory=list)
