"""Times and durations as Kubernetes writes them."""

import pytest

from isthmus.lib import clock


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25)])
def test_a_duration_is_read_in_seconds(text, seconds):
    assert clock.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "5m!", "-5m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        clock.duration(text)


def test_a_timestamp_is_read_back():
    assert clock.parse(clock.timestamp(1_700_000_000)) == 1_700_000_000
