"""ResourceQuota as an admission plugin: what would take a namespace over its quota is refused.

The count is made of the store as the next write finds it, and nothing awaits between here and that write, so two
writers can never both take the last place; `status.used`, written by a controller, is only for people to read.
"""

from typing import Any

from isthmus.engine.registry.admission import Lookup, Plugin
from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import errors, quota

Object = dict[str, Any]
QUOTAS = "resourcequotas"


def _check(served: Served, new: Object, old: Object | None, context: WriteContext, lookup: Lookup) -> None:
    """Raises StatusError 403. An update counts by what it adds; `status` counts for nothing."""
    resource, namespace = served.kind.resource, new["metadata"].get("namespace", "")
    if not namespace or context.subresource or (old is not None and new.get("spec") == old.get("spec")):
        return
    for found in [q for q in lookup.all(QUOTAS) if q["metadata"]["namespace"] == namespace]:
        if resource not in quota.resources(found["spec"].get("hard") or {}):
            continue
        if not quota.matches(found, resource, new):
            continue
        why = quota.find_unsaid(found, new) if resource == quota.PODS and old is None else ""
        if why := why or _find_excess(found, resource, new, old, lookup):
            raise errors.forbidden(served.kind.group, served.kind.plural, new["metadata"].get("name", ""), why)


def _find_excess(found: Object, resource: str, new: Object, old: Object | None, lookup: Lookup) -> str:
    namespace = found["metadata"]["namespace"]
    others = (o for o in lookup.all(resource) if o["metadata"]["namespace"] == namespace)
    used = quota.total(resource, (o for o in others if quota.matches(found, resource, o)))
    before = quota.usage(resource, old) if old is not None else {}
    return quota.find_excess(found, used, before, quota.usage(resource, new))


PLUGINS = (Plugin("ResourceQuota", validate=_check),)
