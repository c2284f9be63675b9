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
    plan = Plan(kind)
    now = now or datetime.now(UTC)
    return plan.show(plan.read(value), now) if plan.lasting else plan.compute(value, now)


class Plan:
    """The columns of a kind, compiled. Made once a kind; kept by whoever shows many objects.

    Where no column is a function (KubeVirt's kinds, a user's CRDs), the cells of an object are `lasting`: `read` gives
    what to keep with the object, and `show` only words the ages anew.
    """

    def __init__(self, kind: Kind) -> None:
        columns = of(kind)
        self.definitions = definitions(kind)
        self.lasting = not any(column.function for column in columns)
        self._readers = [_reader(kind, column) for column in columns]
        self._dates = [i for i, column in enumerate(columns) if column.type == "date" and not column.function]

    def compute(self, value: Object, now: datetime) -> list[Any]:
        """The cells of an object at one time."""
        out = [read(value, now) for read in self._readers]
        for index in self._dates:
            out[index] = _age(out[index], now)
        return out

    def read(self, value: Object) -> list[Any]:
        """What `show` needs: the cells, with times in place of ages. For lasting columns only."""
        return [read(value, _NEVER) for read in self._readers]

    def show(self, kept: list[Any], now: datetime) -> list[Any]:
        """The cells at one time."""
        if not self._dates:
            return kept
        out = kept.copy()
        for index in self._dates:
            out[index] = _age(out[index], now)
        return out


_NEVER = datetime.min.replace(tzinfo=UTC)


def _reader(kind: Kind, column: Column) -> Function:
    if column.function:
        return FUNCTIONS[column.function]
    first = jsonpath.compile(column.path).first
    if column.type == "date" and not kind.builtin:
        return lambda value, _now: _time(first(value))
    if kind.builtin:
        zero = _ZERO.get(column.type)
        return lambda value, _now: zero if (found := first(value)) is None else found
    convert = _CONVERSIONS[column.type]
    return lambda value, _now: None if (found := first(value)) is None else convert(found)


def _time(found: Any) -> datetime | str | None:
    if not isinstance(found, str):
        return None
    return age.parse(found) or age.INVALID


def _age(time: Any, now: datetime) -> Any:
    return age.human(now - time) if isinstance(time, datetime) else time


def _integer(found: Any) -> int | None:
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _number(found: Any) -> float | None:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _boolean(found: Any) -> bool | None:
    return found if isinstance(found, bool) else None


def _string(found: Any) -> str:
    if isinstance(found, str):
        return found
    return orjson.dumps(found).decode()


# A value of another type than the column's is shown as nothing, as the real server does.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "string": _string,
}
