import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import decode, errors

YAML = "application/yaml"


def refused(body, media=YAML):
    with pytest.raises(errors.StatusError) as caught:
        decode.decode(body, media)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    "media",
    [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/merge-patch+json",
        YAML,
    ],
)
def test_json_is_understood_under_every_name_that_clients_give_it(media):
    assert decode.decode(b'{"a": [1, 2.5, null, "x"]}', media) == ({"a": [1, 2.5, None, "x"]}, [])


def test_repeated_fields_are_found_only_when_asked_for_and_named_by_their_path():
    body = b'{"spec":{"a":1,"ports":[{"x":1},{"x":1,"x":2}]},"spec":{"a":1,"a":1,"a":1}}'
    assert decode.decode(body, "application/json")[1] == []
    value, repeated = decode.decode(body, "application/json", find_duplicates=True)
    assert repeated == ["spec.ports[1].x", "spec", "spec.a"]
    assert value == {"spec": {"a": 1}}


def test_repeated_fields_are_found_in_yaml():
    assert decode.decode(b"a: 1\nb: [{c: 1, c: 2}]\na: 3\n", YAML, find_duplicates=True) == (
        {"a": 3, "b": [{"c": 2}]},
        ["b[0].c", "a"],
    )


def test_escapes_that_make_a_text_shorter_hide_no_repetition():
    assert decode.decode(b'{"\\u0061":1,"a":1}', "application/json", find_duplicates=True)[1] == ["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("52:54:00", "52:54:00"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("yes", True),
        ("Off", False),
        ("'yes'", "yes"),
        ('"1"', "1"),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("08", 8),
        ("-5", -5),
        ("+5", 5),
        ("1.5", 1.5),
        ("1.0", 1),
        ("1e3", 1000),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("--", "--"),
        ("1Gi", "1Gi"),
        ("~", None),
        ("", None),
        ("null", None),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("!!str 1", "1"),
        ("!!int '1'", 1),
        ("! 1", "1"),
        ("|\n a\n b", "a\nb"),
        (">\n a\n b", "a b"),
        ("<<", "<<"),
    ],
)
def test_a_yaml_scalar_means_what_kubernetes_makes_of_it(text, value):
    (got,) = decode.decode(f"k: {text}".encode(), YAML)[0].values()
    assert got == value
    assert type(got) is type(value)


def test_keys_that_are_no_texts_become_texts():
    assert decode.decode(b"1: a\ntrue: b\n1.5: c\n", YAML)[0] == {"1": "a", "true": "b", "1.5": "c"}


def test_merge_keys_give_way_to_explicit_ones_and_the_first_source_wins():
    body = b"a: &a {p: 1, q: 1}\nb: &b {p: 2, q: 2, r: 2}\nc: {q: 0, <<: [*a, *b], s: 3}\nd: {<<: *a, p: 9}\n"
    value = decode.decode(body, YAML)[0]
    assert value["c"] == {"p": 1, "q": 0, "r": 2, "s": 3}
    assert value["d"] == {"p": 9, "q": 1}


def test_aliases_are_copies():
    value = decode.decode(b"a: &a {x: []}\nb: *a\n", YAML)[0]
    value["a"]["x"].append(1)
    assert value["b"] == {"x": []}


def test_a_billion_laughs_is_refused():
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "excessive aliasing" in refused("\n".join(lines).encode())[1]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"&a [*a]", "the anchor 'a' is unknown here"),
        (b"a: !!python/object/apply:os.system [x]", "is not supported"),
        (b"a: !custom x", "is not supported"),
        (b"a: !!int x", "is not supported"),
        (b"a: .nan", "is no JSON value"),
        (b"a: 1\n---\nb: 2\n", "a second document"),
        (b"? {a: b}\n: c", "cannot be a key"),
        (b"? ~\n: c", "unsupported map key"),
        (b"a: [", "expected node content"),
        (b"a: \x01", "control characters"),
        (b"<<: 1", "map merge requires"),
        (b"[" * 300, "levels deep"),
    ],
)
def test_yaml_that_json_cannot_say_is_refused(body, part):
    code, message = refused(body)
    assert code == 400
    assert message.startswith("error converting YAML to JSON: yaml: ")
    assert part in message


def test_depth_is_bounded_in_json():
    deep = b'{"a":' * 201 + b"1" + b"}" * 201
    assert "levels deep" in refused(deep, "application/json")[1]
    wide = json.dumps({"items": [{"a": [i]} for i in range(1000)]}).encode()
    assert len(decode.decode(wide, "application/json")[0]["items"]) == 1000
    assert refused(b"[" * 100_000, "application/json")[0] == 400


def test_size_and_media_type_are_checked():
    assert refused(b"x" * (3 * 1024 * 1024 + 1))[0] == 413
    assert refused(b"{}", "text/html")[0] == 415
    assert refused(b'{"a":NaN}', "application/json")[0] == 400


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e9, 1e9).filter(lambda f: f % 1)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_object_means_the_same_as_json_and_as_yaml(value):
    body = json.dumps(value).encode()
    assert decode.decode(body, "application/json", find_duplicates=True) == (value, [])
    assert decode.decode(body, YAML, find_duplicates=True) == (value, [])


plain = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)


@given(st.dictionaries(plain, plain | st.lists(plain, max_size=3), min_size=1, max_size=4))
def test_what_is_quoted_in_yaml_is_text(value):
    assert decode.decode(yaml.safe_dump(value, default_style="'").encode(), YAML)[0] == value


@given(st.binary(max_size=60) | st.text("a:-[]{}&*!|>'\"#%@,?\n \t0~<", max_size=60).map(str.encode))
def test_no_bytes_do_worse_than_being_refused(body):
    for media in (YAML, "application/json"):
        try:
            value, _ = decode.decode(body, media, find_duplicates=True)
            json.dumps(value)
        except errors.StatusError as error:
            assert error.code == 400
