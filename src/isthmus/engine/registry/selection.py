"""Which rows a list or watch is about: namespace, label selector, field selector."""

from collections.abc import Mapping

from isthmus.engine.registry.registry import Served
from isthmus.engine.store.row import Change, Row
from isthmus.kinds import selectable
from isthmus.machinery import fields, labels

EQUALS = (labels.Operator.EQUALS, labels.Operator.DOUBLE_EQUALS)


class Selection:
    """Made once a request, asked once a row. Raises StatusError 400 for a field that the kind cannot be selected by."""

    __slots__ = ("_fields", "_labels", "_served", "everything", "namespace")

    def __init__(self, served: Served, namespace: str, label_selector: str = "", field_selector: str = "") -> None:
        self._served = served
        self.namespace = namespace if namespace and served.kind.namespaced else None
        self._labels = labels.parse(label_selector) if label_selector else None
        self._fields = fields.parse(field_selector) if field_selector else None
        if self._fields:
            fields.check_supported(self._fields, served.kind.selectable_fields)
        self.everything = not (self._labels or self._fields)

    @classmethod
    def of_request(cls, served: Served, namespace: str, query: Mapping[str, str], name: str = "") -> "Selection":
        """By a request's parameters; `name` is that of the path (GET .../watch/pods/NAME), if it has one.

        Whoever may watch that one object sees no other, whatever the selector says.
        """
        terms = [str(fields.Requirement("metadata.name", equal=True, value=name))] if name else []
        if given := query.get("fieldSelector"):
            terms.append(given)
        return cls(served, namespace, query.get("labelSelector", ""), ",".join(terms))

    @property
    def label(self) -> tuple[str, str] | None:
        """A label and value that every row must have, by which the store can find them."""
        for requirement in self._labels.requirements if self._labels else ():
            if requirement.operator in EQUALS:
                return requirement.key, requirement.values[0]
        return None

    def matches(self, row: Row) -> bool:
        """Whether the row is among those asked for. Its namespace was looked at before."""
        if self._labels and not self._labels.matches(row.labels):
            return False
        return not self._fields or self._fields.matches(selectable_values(self._served, row))

    def change(self, row: Row) -> Change | None:
        """How a watcher of this selection sees a committed row: it may come into sight, or go out of it."""
        if self.namespace is not None and row.key[1] != self.namespace:
            return None
        if self.everything:
            return row.change
        before = row.previous is not None and self.matches(row.previous)
        after = row.change is not Change.DELETED and self.matches(row)
        if after:
            return Change.MODIFIED if before else Change.ADDED
        return Change.DELETED if before else None


def selectable_values(served: Served, row: Row) -> dict[str, str]:
    """The values of the kind's selectable fields, kept beside the row once they were asked for."""
    kind = served.kind
    if row.fields is None:
        row.fields = {"metadata.name": row.key[2], "metadata.namespace": row.key[1]}
    if kind.selectable_fields and kind.selectable_fields[0] not in row.fields:
        row.fields |= selectable.values(kind, row.decode())
    return row.fields
