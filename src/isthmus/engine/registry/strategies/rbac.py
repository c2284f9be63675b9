"""Roles and bindings: names may be any path segment; a binding's role is fixed for good."""

from typing import Any

from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"


def _fixed_role(new: Object, old: Object | None, _context: WriteContext) -> list[Cause]:
    if old is not None and new.get("roleRef") != old.get("roleRef"):
        return [Cause("roleRef", "Invalid value: cannot change roleRef")]
    return []


def _default_subjects(new: Object, _old: Object | None, _context: WriteContext) -> None:
    if subjects := new.get("subjects"):
        new["subjects"] = [{"apiGroup": GROUP, **s} if s.get("kind") in ("User", "Group") else s for s in subjects]
    if reference := new.get("roleRef"):
        new["roleRef"] = {"apiGroup": GROUP, **reference}


for _resource in ("roles", "clusterroles"):
    register(f"{_resource}.{GROUP}", Strategy(name_check=names.path_segment, generation=False))
for _resource in ("rolebindings", "clusterrolebindings"):
    register(
        f"{_resource}.{GROUP}",
        Strategy(_default_subjects, _fixed_role, name_check=names.path_segment, generation=False),
    )
