"""One line a record, whatever is logged."""

import logging

import pytest

from isthmus.lib import logs


def line(message, *, error=None, **fields):
    record = logging.LogRecord("isthmus.client.informer", logging.INFO, "f", 1, message, (), error)
    record.fields = fields
    return logs.LineFormatter("agent").format(record)


def test_fields_follow_the_message_and_odd_values_are_quoted():
    text = line("synced", count=3, name='a "b"', empty="")
    assert text.endswith('info    agent client.informer: synced count=3 name="a \\"b\\"" empty=""')


def test_a_record_with_newlines_and_a_traceback_is_one_line():
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        text = line("a\nb", error=(ValueError, error, error.__traceback__))
    assert "\n" not in text
    assert "ValueError: two\\nlines" in text


def test_levels_are_given_by_name():
    levels = logs.parse_levels("warning, client=debug")
    assert levels == {"isthmus": logging.WARNING, "isthmus.client": logging.DEBUG}


def test_an_unknown_level_is_named():
    with pytest.raises(ValueError, match="'loud' is no log level"):
        logs.parse_levels("client=loud")


def test_a_log_that_grows_for_ever_is_cut_and_its_end_is_kept(tmp_path):
    path = tmp_path / "part.log"
    with path.open("ab") as writer:
        writer.write(b"a" * 90 + b"the last")
        writer.flush()
        logs.bound(path, limit=200, kept=8)
        assert path.stat().st_size == 98
        logs.bound(path, limit=50, kept=8)
        writer.write(b"more")
    assert path.read_bytes() == b"more"
    assert (tmp_path / "part.log.1").read_bytes() == b"the last"
    logs.bound(tmp_path / "absent.log", limit=50, kept=8)
