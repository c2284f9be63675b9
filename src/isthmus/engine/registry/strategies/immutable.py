"""Fields that stay as they were created, by kind: data. Each kind's other rules join in through `also`.

Sources: the Validate*Update functions of Kubernetes' pkg/apis/*/validation.
"""

from typing import Any

from isthmus.engine.registry.strategy import Strategy, Validate, register
from isthmus.engine.registry.write import WriteContext
from isthmus.machinery import causes
from isthmus.machinery.errors import Cause
from isthmus.machinery.fieldtree import at

Object = dict[str, Any]
DETAIL = "field is immutable"

# resource -> dotted paths
FIELDS: dict[str, tuple[str, ...]] = {
    "controllerrevisions.apps": ("data",),
    "csidrivers.storage.k8s.io": ("spec.attachRequired", "spec.fsGroupPolicy", "spec.volumeLifecycleModes"),
    "ingressclasses.networking.k8s.io": ("spec.controller",),
    "priorityclasses.scheduling.k8s.io": ("value", "preemptionPolicy"),
    "storageclasses.storage.k8s.io": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "runtimeclasses.node.k8s.io": ("handler",),
}


def changed(paths: tuple[str, ...], new: Object, old: Object) -> list[Cause]:
    """A cause for each of the fields that is no longer what it was."""
    return [causes.invalid(p, at(new, p), DETAIL) for p in paths if at(new, p) != at(old, p)]


def rule(*paths: str) -> Validate:
    """These fields may not change."""

    def validate(new: Object, old: Object | None, context: WriteContext) -> list[Cause]:
        return changed(paths, new, old) if old is not None and context.subresource == "" else []

    return validate


for _resource, _paths in FIELDS.items():
    register(_resource, Strategy(validate=rule(*_paths)))
