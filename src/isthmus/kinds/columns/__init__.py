"""The Table form of an object (metav1.Table): what `kubectl get` shows of it.

A column is a JSONPath or the name of a function here. `cells` is pure: the caller says what time it is. Called by: the
server's Table answers, the console. The wording is that of Kubernetes (pkg/printers/internalversion) and of
apiextensions' tableconvertor for kinds that are CRDs.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from isthmus.kinds import selectable
from isthmus.kinds.columns import age, cluster, network, pods, storage, workloads
from isthmus.kinds.kind import Column, Kind
from isthmus.machinery import jsonpath

Object = dict[str, Any]
Function = Callable[[Object, datetime], Any]

FUNCTIONS: dict[str, Function] = {
    **cluster.FUNCTIONS,
    **network.FUNCTIONS,
    **pods.FUNCTIONS,
    **storage.FUNCTIONS,
    **workloads.FUNCTIONS,
}
NAME = Column("Name", path=".metadata.name", format="name", description="The object's name, unique in its namespace.")
AGE = Column("Age", "date", path=".metadata.creationTimestamp", description="How long ago the object was created.")
selectable_values = selectable.values
_ZERO = {"integer": 0, "number": 0, "boolean": False, "string": ""}


def of(kind: Kind) -> tuple[Column, ...]:
    """All columns of a kind, NAME included: first, unless the kind says where it stands (Event)."""
    columns = kind.columns or (AGE,)
    return columns if any(column.name == NAME.name for column in columns) else (NAME, *columns)


def definitions(kind: Kind) -> list[Object]:
    """`columnDefinitions` of a Table."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in of(kind)
    ]


def cells(kind: Kind, value: Object, now: datetime | None = None) -> list[Any]:
    """`cells` of an object's row, one for each column of `of(kind)`."""
    now = now or datetime.now(UTC)
    return [_cell(kind, column, value, now) for column in of(kind)]


def _cell(kind: Kind, column: Column, value: Object, now: datetime) -> Any:
    if column.function:
        return FUNCTIONS[column.function](value, now)
    found = jsonpath.compile(column.path).first(value)
    if kind.builtin:
        return _ZERO.get(column.type) if found is None else found
    return None if found is None else _CONVERSIONS[column.type](found, now)


def _integer(found: Any, _now: datetime) -> int | None:
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _number(found: Any, _now: datetime) -> float | None:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _boolean(found: Any, _now: datetime) -> bool | None:
    return found if isinstance(found, bool) else None


def _date(found: Any, now: datetime) -> str | None:
    if not isinstance(found, str):
        return None
    time = age.parse(found)
    return age.INVALID if time is None else age.human(now - time)


def _string(found: Any, _now: datetime) -> str:
    if isinstance(found, str):
        return found
    return orjson.dumps(found).decode()


# A value of another type than the column's is shown as nothing, as the real server does.
_CONVERSIONS: dict[str, Function] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "string": _string,
}
