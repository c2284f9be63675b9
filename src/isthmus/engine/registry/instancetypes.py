"""Finds the instance type and preference that a VM names and folds them into it. For `expand-spec` and admission."""

from collections.abc import Callable
from typing import Any

from isthmus.machinery import errors, instancetype

Object = dict[str, Any]
Lookup = Callable[[str, str, str], Object | None]
GROUP = "instancetype.kubevirt.io"
CLUSTER_SCOPED = {"instancetype": "virtualmachineclusterinstancetype", "preference": "virtualmachineclusterpreference"}


def expand(vm: Object, lookup: Lookup) -> Object:
    """The VM with both folded in, the matchers gone. Raises StatusError 404, or 409 naming what conflicts."""
    specs = {which: find_spec(vm, which, lookup) for which in CLUSTER_SCOPED}
    expansion = instancetype.expand(vm, specs["instancetype"], specs["preference"])
    if expansion.conflicts:
        listing = ", ".join(expansion.conflicts)
        why = f"VM fields conflict with the selected instance type: {listing}"
        raise errors.conflict("kubevirt.io", "virtualmachines", vm["metadata"]["name"], why)
    return instancetype.drop_matchers(expansion.vm)


def find_spec(vm: Object, which: str, lookup: Lookup) -> Object | None:
    """The spec of what a VM's matcher names; None without a matcher. Raises StatusError 404."""
    matcher = vm["spec"].get(which)
    if not matcher:
        return None
    kind = (matcher.get("kind") or CLUSTER_SCOPED[which]).lower()
    namespace = "" if kind.startswith("virtualmachinecluster") else vm["metadata"]["namespace"]
    plural = f"{kind}s"
    found = lookup(f"{plural}.{GROUP}", namespace, matcher.get("name", ""))
    if found is None:
        raise errors.not_found(GROUP, plural, matcher.get("name", ""))
    spec: Object = found["spec"]
    return spec
