"""JSONPath: what printer columns, selectable fields and scale paths use of it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import jsonpath

VALUE = {
    "metadata": {"labels": {"a.b/c": "dotted", "plain": "p"}},
    "spec": {"nodeName": "n1", "replicas": 0, "on": False, "nothing": None},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "weight": 3},
            {"type": "Paused", "status": "False", "weight": 5},
        ],
        "numbers": [1, 2, 3, 4],
    },
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.nodeName", ["n1"]),
        ("spec.nodeName", ["n1"]),
        ("{.spec.nodeName}", ["n1"]),
        ("$.spec.nodeName", ["n1"]),
        (".spec.replicas", [0]),
        (".spec.on", [False]),
        (".spec.nothing", [None]),
        (".spec.missing", []),
        (".spec.nodeName.deeper", []),
        (r".metadata.labels.a\.b/c", ["dotted"]),
        (".metadata.labels['a.b/c']", ["dotted"]),
        ('.metadata.labels["a.b/c"]', ["dotted"]),
        (".status.numbers[0]", [1]),
        (".status.numbers[-1]", [4]),
        (".status.numbers[9]", []),
        (".status.numbers[1:3]", [2, 3]),
        (".status.numbers[::2]", [1, 3]),
        (".status.numbers[0,2]", [1, 3]),
        (".status.numbers[*]", [1, 2, 3, 4]),
        (".metadata.labels['plain','a.b/c']", ["p", "dotted"]),
        (".status.conditions[*].type", ["Ready", "Paused"]),
        (".status.conditions[?(@.type=='Ready')].status", ["True"]),
        ('.status.conditions[?(@.type == "Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].type", ["Paused"]),
        (".status.conditions[?(@.weight>3)].type", ["Paused"]),
        (".status.conditions[?(@.weight<=3)].type", ["Ready"]),
        (".status.conditions[?(@.missing)].type", []),
        (".status.conditions[?(@.weight)].type", ["Ready", "Paused"]),
        (".status.conditions[?(@.type=='Ready')].missing", []),
        ("..nodeName", ["n1"]),
        ("..status", [VALUE["status"], "True", "False"]),
        ("", [VALUE]),
    ],
)
def test_a_path_finds_what_kubernetes_finds(path, expected):
    assert jsonpath.compile(path).find(VALUE) == expected
    assert jsonpath.compile(path).first(VALUE, "none") == (expected[0] if expected else "none")


@pytest.mark.parametrize(
    "path", [".a[", ".a]", "a b", "[x]", ".a[?(@.b==)]", ".a[?(@.b", ".a['b", ".a[1:2:0]", ".a[", "..", ".a[?(b==1)]"]
)
def test_a_malformed_path_is_refused_with_the_place(path):
    with pytest.raises(jsonpath.JSONPathError, match="at character"):
        jsonpath.compile(path)


def test_a_path_that_is_too_long_or_too_deep_is_refused():
    with pytest.raises(jsonpath.JSONPathError, match="longer"):
        jsonpath.compile("." + "a" * 5000)
    with pytest.raises(jsonpath.JSONPathError, match="nested"):
        jsonpath.compile("[?(@" * 20)


def test_the_same_text_is_compiled_once():
    assert jsonpath.compile(".a.b") is jsonpath.compile(".a.b")


@given(st.text(max_size=40))
def test_any_text_compiles_or_is_refused(text):
    try:
        path = jsonpath.compile(text)
    except jsonpath.JSONPathError:
        return
    path.find(VALUE)


@given(st.text(alphabet=".[]?()@$*'\"=!<>:,\\ab01-", max_size=30))
def test_any_text_of_jsonpath_characters_compiles_or_is_refused(text):
    try:
        path = jsonpath.compile(text)
    except jsonpath.JSONPathError:
        return
    path.find({"a": [{"b": 1}, {"a": "b"}], "b": {"a": 0}})


@pytest.mark.parametrize(
    "path", [".spec" + "..*" * 40, ".spec" + "..['a','a','a']" * 40, "[?(@" + "..*" * 40 + " == 1)]"]
)
def test_a_path_that_finds_the_same_again_and_again_stays_bounded(path):
    value = {}
    for _ in range(60):
        value = {"a": value, "b": [1, 2, 3]}
    started = time.monotonic()
    assert len(jsonpath.compile(path).find({"spec": value})) <= jsonpath.MAX_VALUES
    assert time.monotonic() - started < 2
