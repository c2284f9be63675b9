"""Patterns in CEL: Go's syntax and answers, in bounded time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import cel, celfunctions


def find_all(text, pattern):
    return cel.Program("self.t.findAll(self.p)").evaluate({"t": text, "p": pattern})


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a)*c", "(a*)*c", "(?:a?){200}a{200}c"])
@pytest.mark.parametrize("function", ["find", "findAll"])
def test_a_hostile_pattern_takes_no_longer_than_another(pattern, function) -> None:
    started = time.monotonic()
    cel.Program(f"self.t.{function}(self.p)").evaluate({"t": "a" * 5000 + "b", "p": pattern})
    assert time.monotonic() - started < 2  # Python's re would need longer than the universe has


def test_matches_that_each_look_at_the_whole_rest_are_given_up(monkeypatch) -> None:
    monkeypatch.setattr(celfunctions, "_MAX_SECONDS", 0.05)
    started = time.monotonic()
    with pytest.raises(cel.CelError, match=r"longer than 0\.05 s"):
        find_all("a" * 1_000_000, "a(.*b)?")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("text", "pattern", "found"),
    [
        ("baaé", "a*", ["", "aa", ""]),  # as Go: none between aa and é
        ("", "x*", [""]),
        ("λόγος 12", r"\p{Greek}+", ["λόγος"]),
        ("a1 b2", r"(?P<letter>[a-z])(\d)", ["a1", "b2"]),
        ("é", r"\w", []),  # ASCII only
        ("one\ntwo", r"\Aone\z", []),
    ],
)
def test_patterns_are_gos(text, pattern, found) -> None:
    assert find_all(text, pattern) == found


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "a{1001}", "(", "x" * 1001])
def test_what_go_refuses_is_refused_with_a_reason(pattern) -> None:
    with pytest.raises(cel.CelError, match=r"illegal regex|longer than"):
        find_all("aa", pattern)


def test_a_limit_bounds_the_matches() -> None:
    program = cel.Program("self.findAll('[0-9]', 2)")
    assert program.evaluate("1 2 3") == ["1", "2"]
    assert cel.Program("self.findAll('[0-9]', 0)").evaluate("1 2 3") == []
    assert cel.Program("self.findAll('[0-9]', -1)").evaluate("1 2 3") == ["1", "2", "3"]


@given(st.text("ab1 é", max_size=30), st.sampled_from(["[ab]+", "a|b1", "1", " +", "[^a]", "b?1"]))
def test_simple_patterns_match_as_everywhere(text, pattern) -> None:
    assert find_all(text, pattern) == [m.group() for m in re.finditer(pattern, text)]
