import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import errors, labels
from isthmus.machinery.labels import Operator, Requirement, Selector

WEB = {"app": "web", "tier": "front", "rank": "7", "empty": ""}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("!absent", True),
        ("app=web", True),
        ("app == web", True),
        ("app!=web", False),
        ("absent!=web", True),
        ("app in (web, db)", True),
        ("app notin (web)", False),
        ("absent notin (web)", True),
        ("absent in (web)", False),
        ("rank>6", True),
        ("rank>7", False),
        ("rank<8", True),
        ("app>1", False),
        ("absent<1", False),
        ("empty=", True),
        ("empty in (,)", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app=web,app=db", False),
        ("app=web,tier,!absent,rank>1", True),
        ("app=web,tier,!rank", False),
        ("\t app \n in\r( web ) , tier ", True),
    ],
)
def test_a_selector_means_what_it_means_in_kubernetes(text, selected):
    assert labels.parse(text).matches(WEB) is selected


@pytest.mark.parametrize(
    "text", ["in in (in)", "notin=in", "in,notin", "x notin (in,notin)", "kubevirt.io/nodeName=n1"]
)
def test_in_and_notin_are_operators_only_after_a_key(text):
    assert str(labels.parse(text)) == ",".join(sorted(text.split(","))) if "(" not in text else text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a=!", "unable to parse requirement: found '!', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ],
)
def test_a_wrong_text_is_refused_with_what_was_found_and_expected(text, message):
    with pytest.raises(errors.StatusError) as refused:
        labels.parse(text)
    assert (refused.value.code, refused.value.message) == (400, message)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a/b/c=d", "a valid label key must consist of"),
        ("-a=b", "name part must consist of"),
        ("/a", "prefix part must be non-empty"),
        (f"{'a' * 64}=b", "name part must be no more than 63 bytes"),
        ("a=-b", 'values[0][a]: Invalid value: "-b": a valid label must be'),
        (f"a={'b' * 64}", "must be no more than 63 bytes"),
        ("a in ()", "for 'in', 'notin' operators, values set can't be empty"),
        ("a>b", "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a>1_0", "the value must be an integer"),
        ("a>9223372036854775808", "the value must be an integer"),
    ],
)
def test_keys_and_values_must_be_labels(text, part):
    with pytest.raises(errors.StatusError) as refused:
        labels.parse(text)
    assert part in refused.value.message


def test_equal_texts_give_the_same_compiled_selector():
    assert labels.parse("b,a=1") is labels.parse("b,a=1")
    assert labels.parse("b,a=1") == labels.parse("a=1,b")


def test_an_absent_label_selector_selects_nothing_and_an_empty_one_everything():
    assert not labels.from_label_selector(None).matches({})
    assert labels.from_label_selector({}).matches({})
    assert labels.from_label_selector({}).empty
    assert not labels.from_label_selector(None).empty
    assert labels.NOTHING != labels.EVERYTHING


def test_a_label_selector_combines_labels_and_expressions():
    selector = labels.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "absent", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches(WEB)
    assert str(selector) == "!absent,app=web,tier in (back,front)"


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "a", "operator": "Equals", "values": ["b"]},
        {"key": "a", "operator": "In", "values": []},
        {"key": "a", "operator": "Exists", "values": ["b"]},
        {"key": "a b", "operator": "Exists"},
        {"key": "a", "operator": "Gt", "values": ["1", "2"]},
    ],
)
def test_a_wrong_expression_is_refused(expression):
    with pytest.raises(errors.StatusError):
        labels.from_label_selector({"matchExpressions": [expression]})


def test_validation_of_a_label_selector_names_each_wrong_field():
    selector = {
        "matchLabels": {"a b": "c"},
        "matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Is", "values": ["-"]}],
    }
    found = {c.field: c.message for c in labels.validate_label_selector(selector, "spec.selector")}
    assert found["spec.selector.matchExpressions[0].values"].startswith("Required value: must be specified when")
    assert found["spec.selector.matchExpressions[1].operator"] == 'Invalid value: "Is": not a valid selector operator'
    assert set(found) >= {"spec.selector.matchLabels", "spec.selector.matchExpressions[1].values[0]"}


keys = st.from_regex(r"([a-z]{1,5}\.[a-z]{1,3}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,5}[A-Za-z0-9])?", fullmatch=True)
values = st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,5}[A-Za-z0-9])?)?", fullmatch=True)
EXACT = (Operator.EQUALS, Operator.DOUBLE_EQUALS, Operator.NOT_EQUALS)


def requirement(key, operator, some, number):
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        return Requirement(key, operator)
    if operator in EXACT:
        return Requirement(key, operator, (min(some),))
    if operator in (Operator.IN, Operator.NOT_IN):
        return Requirement(key, operator, tuple(sorted(some)))
    return Requirement(key, operator, (str(number),))


requirements = st.builds(
    requirement, keys, st.sampled_from(Operator), st.sets(values, min_size=1, max_size=4), st.integers(0, 2**63 - 1)
)


@given(st.lists(requirements, max_size=5))
def test_every_selector_survives_its_text(wanted):
    selector = Selector(wanted)
    again = labels.parse(str(selector))
    assert again == selector
    assert str(again) == str(selector)


@given(st.lists(requirements, max_size=4), st.dictionaries(keys, values, max_size=6))
def test_a_conjunction_matches_when_each_of_its_parts_does(wanted, some):
    assert Selector(wanted).matches(some) is all(Selector([r]).matches(some) for r in wanted)


@given(st.text(max_size=40) | st.text("ab=!<>(), in", max_size=40))
def test_no_text_does_worse_than_being_refused(text):
    try:
        labels.parse(text)
    except errors.StatusError as refused:
        assert refused.code == 400
