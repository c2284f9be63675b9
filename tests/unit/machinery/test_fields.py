import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import errors, fields
from isthmus.machinery.fields import FieldSelector, Requirement

POD = {"metadata.name": "a", "metadata.namespace": "b", "status.phase": "Running"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        (",", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("metadata.name=a,status.phase!=Failed", True),
        ("metadata.name=a,status.phase=Failed", False),
        ("spec.nodeName=", True),
        ("spec.nodeName!=", False),
    ],
)
def test_a_selector_means_what_it_means_in_kubernetes(text, selected):
    assert fields.parse(text).matches(POD) is selected


@pytest.mark.parametrize(
    ("text", "value"), [(r"f=a\,b", "a,b"), (r"f=a\=b", "a=b"), (r"f=a\\", "a\\"), ("f=!", "!"), ("f=a b", "a b")]
)
def test_a_backslash_escapes_what_separates(text, value):
    assert fields.parse(text).exact("f") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        ("a=\\b", "invalid field selector: invalid escape sequence: \\b"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_wrong_text_is_refused(text, message):
    with pytest.raises(errors.StatusError) as refused:
        fields.parse(text)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_the_fields_that_matter_and_an_exact_name_can_be_asked_for():
    selector = fields.parse("status.phase!=Failed,metadata.name=a,metadata.name!=b")
    assert selector.fields == ("metadata.name", "status.phase")
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("status.phase") is None


def test_only_supported_fields_may_be_selected_by():
    fields.check_supported(fields.parse("metadata.name=a,status.phase=x"), ("status.phase",))
    with pytest.raises(errors.StatusError, match=r"field label not supported: spec\.x"):
        fields.check_supported(fields.parse("spec.x=1"), ("status.phase",))


names = st.from_regex(r"[a-z]{1,8}(\.[a-zA-Z]{1,8}){0,2}", fullmatch=True)


@given(st.lists(st.builds(Requirement, names, st.booleans(), st.text(max_size=12)), max_size=4))
def test_every_selector_survives_its_text(wanted):
    again = fields.parse(str(FieldSelector(wanted)))
    assert sorted(map(str, again.requirements)) == sorted(map(str, wanted))


@given(st.text(max_size=30) | st.text(r"ab=!,\ ", max_size=30))
def test_no_text_does_worse_than_being_refused(text):
    try:
        fields.parse(text)
    except errors.StatusError as refused:
        assert refused.code == 400
