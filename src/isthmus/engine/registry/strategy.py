"""What creating and updating means for one kind, where the generic rules are not enough.

The order is fixed, no kind re-implements it: prepare -> (schema) -> validate -> canonicalise (kube-apiserver,
pkg/registry/rest/create.go and update.go). The modules of `strategies/` register what is special;
every other kind gets the generic strategy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isthmus.engine.registry.write import WriteContext
from isthmus.kinds.kind import Kind
from isthmus.machinery import names
from isthmus.machinery.errors import Cause

Object = dict[str, Any]
# (new, old or None on create, context). On an update `new` may share its spec and whatever lies deeper with `old`: a
# hook replaces such values, it never writes into them. `new` itself and its metadata are its own.
Prepare = Callable[[Object, Object | None, WriteContext], None]
Validate = Callable[[Object, Object | None, WriteContext], list[Cause]]


def _prepare_nothing(_new: Object, _old: Object | None, _context: WriteContext) -> None: ...


def _validate_nothing(_new: Object, _old: Object | None, _context: WriteContext) -> list[Cause]:
    return []


def _never(_obj: Object) -> bool:
    return False


def _leave(_obj: Object) -> None: ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """The hooks of one kind."""

    prepare: Prepare = _prepare_nothing
    validate: Validate = _validate_nothing
    waits: Callable[[Object], bool] = (
        _never  # deletion waits although no finalizer is left (Namespaces' spec.finalizers)
    )
    mark_deleted: Callable[[Object], None] = _leave  # what else changes when deletion begins
    name_check: names.NameCheck = names.dns1123_subdomain
    graceful: bool = False  # deletion waits for whoever runs the object (Pods)
    generation: bool | None = None  # count changes of the spec; None: where there is a status subresource
    keeps_status: bool = False  # an object may be created with its status (Nodes register so)
    status_metadata: bool = False  # a write of the status may change labels and annotations too


GENERIC = Strategy()
STRATEGIES: dict[str, Strategy] = {}  # by Kind.resource


def register(resource: str, strategy: Strategy) -> None:
    """Give a resource a strategy of its own."""
    STRATEGIES[resource] = strategy


def strategy_for(kind: Kind) -> Strategy:
    """The kind's own strategy, or the generic one."""
    return STRATEGIES.get(kind.resource, GENERIC)
