from datetime import UTC, datetime

import pytest

from isthmus.kinds.kind import Column
from isthmus.machinery import errors, table

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}


def test_name_comes_first_and_age_alone_follows_where_a_kind_has_no_columns():
    assert [d["name"] for d in table.column_definitions(())] == ["Name", "Age"]
    columns = table.column_definitions((Column("Phase", priority=1, description="d"),))
    assert columns[1] == {"name": "Phase", "type": "string", "format": "", "description": "d", "priority": 1}


@pytest.mark.parametrize(
    ("include", "shown"),
    [
        ("None", None),
        ("Metadata", {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}}),
        ("Object", POD),
    ],
)
def test_rows_carry_as_much_of_the_object_as_was_asked_for(include, shown):
    built = table.build(table.column_definitions(()), [(["a", "5m"], POD)], {"resourceVersion": "7"}, "v1", include)
    assert built["rows"] == [{"cells": ["a", "5m"], "object": shown}]
    assert (built["kind"], built["apiVersion"], built["metadata"]) == (
        "Table",
        "meta.k8s.io/v1",
        {"resourceVersion": "7"},
    )


def test_later_watch_events_have_no_column_definitions():
    assert table.build(None, [], {})["columnDefinitions"] is None


def test_another_amount_of_the_object_is_refused():
    with pytest.raises(errors.StatusError, match="includeObject: Unsupported value"):
        table.build(None, [], {}, "v1", "All")


HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (HOUR * 3 - 1, "179m"),
        (HOUR * 3, "3h"),
        (HOUR * 7 + 59 * 60, "7h59m"),
        (HOUR * 8 + 59 * 60, "8h"),
        (HOUR * 48 - 1, "47h"),
        (DAY * 2, "2d"),
        (DAY * 2 + HOUR, "2d1h"),
        (DAY * 8, "8d"),
        (DAY * 729, "729d"),
        (DAY * 730, "2y"),
        (DAY * 731, "2y1d"),
        (DAY * 365 * 8 + DAY, "8y"),
    ],
)
def test_an_age_is_as_precise_as_kubectl_prints_it(seconds, text):
    assert table.human_duration(seconds) == text


def test_an_age_is_counted_from_a_timestamp():
    now = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert table.age("2026-01-01T00:00:00Z", now) == "5m"
    assert table.age("2026-01-01T01:00:00+01:00", now) == "5m"
    assert table.age(None, now) == table.age("soon", now) == "<unknown>"
