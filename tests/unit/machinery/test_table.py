import pytest

from isthmus.machinery import errors, table


def test_a_table_carries_its_rows_and_list_metadata():
    built = table.build([], [{"cells": ["a", "5m"], "object": None}], {"resourceVersion": "7"}, "v1")
    assert built["rows"] == [{"cells": ["a", "5m"], "object": None}]
    assert (built["kind"], built["apiVersion"], built["metadata"]) == (
        "Table",
        "meta.k8s.io/v1",
        {"resourceVersion": "7"},
    )


def test_later_watch_events_have_no_column_definitions():
    assert table.build(None, [], {})["columnDefinitions"] is None


def test_another_amount_of_the_object_is_refused():
    with pytest.raises(errors.StatusError, match="includeObject: Unsupported value"):
        table.check_include("All")


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
