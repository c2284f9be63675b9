"""The kinds of the core group that are more than generic: a table. Their hooks are in the modules named after them."""

from typing import Any

from isthmus.engine.registry.strategies import configuration, namespaces, pods, volumes
from isthmus.engine.registry.strategy import Strategy, register
from isthmus.engine.registry.write import WriteContext
from isthmus.lib import clock
from isthmus.machinery import names

Object = dict[str, Any]


def _stamp_event(new: Object, old: Object | None, _context: WriteContext) -> None:
    if old is None and not new.get("firstTimestamp") and not new.get("eventTime"):
        new["firstTimestamp"] = new["lastTimestamp"] = clock.timestamp()


STRATEGIES = {
    "configmaps": Strategy(validate=configuration.validate_configmap, generation=False),
    "events": Strategy(prepare=_stamp_event, generation=False),
    "namespaces": Strategy(
        prepare=namespaces.prepare,
        waits=namespaces.waits,
        mark_deleted=namespaces.mark_terminating,
        name_check=names.dns1123_label,
        generation=False,
        status_metadata=True,
    ),
    "nodes": Strategy(generation=False, keeps_status=True, status_metadata=True),
    "persistentvolumeclaims": Strategy(
        prepare=volumes.prepare_claim, validate=volumes.validate_claim, generation=False, status_metadata=True
    ),
    "persistentvolumes": Strategy(
        prepare=volumes.prepare_volume, validate=volumes.validate_volume, generation=False, status_metadata=True
    ),
    "pods": Strategy(prepare=pods.prepare, validate=pods.validate, graceful=True, status_metadata=True),
    "secrets": Strategy(prepare=configuration.prepare_secret, validate=configuration.validate_secret, generation=False),
}
for _resource, _strategy in STRATEGIES.items():
    register(_resource, _strategy)
