import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.machinery import quantity
from isthmus.machinery.quantity import Format, Quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0Gi", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("-1.5", "-1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1000k", "1M"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1023Ki", "1023Ki"),
        ("1025", "1025"),
        ("0.5Ki", "512"),
        ("0.1Ki", "102400m"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("100e-1", "10"),
        ("1e-3", "1e-3"),
        ("1E", "1E"),
        ("123456789", "123456789"),
        ("1.1u", "1100n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1e30", "9223372036854775807"),
        ("100E", "9223372036854775807"),
    ],
)
def test_a_quantity_is_written_as_kubernetes_writes_it(text, canonical):
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1Kii", "Gi", "1.2.3", "0x1", "1K", "1mi", "1e", "1e3Ki", "--1", "١", "1_0", "nan", "9" * 300],
)
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(quantity.QuantityError):
        quantity.parse(text)


@pytest.mark.parametrize("value", [True, None, [], {}])
def test_what_is_neither_text_nor_number_is_refused(value):
    with pytest.raises(quantity.QuantityError):
        quantity.parse(value)


def test_numbers_of_json_are_quantities():
    assert quantity.canonical(2) == "2"
    assert quantity.canonical(0.5) == "500m"
    assert quantity.canonical(1e21) == "9223372036854775807"


def test_whole_units_and_thousandths_are_rounded_up():
    assert quantity.whole("1.5Gi") == 1610612736
    assert quantity.whole("100m") == 1
    assert quantity.to_milli("0.1234") == 124
    assert quantity.to_milli("-0.1234") == -124
    assert quantity.from_bytes(5 << 30) == "5Gi"
    assert quantity.from_milli(250) == "250m"
    assert quantity.from_milli(2000) == "2"


def test_quantities_are_compared_by_value():
    assert quantity.parse("1Ki") == quantity.parse("1024") != quantity.parse("1k")
    assert quantity.parse("999m") < quantity.parse("1")
    assert hash(quantity.parse("1Ki")) == hash(quantity.parse("1024"))
    assert not quantity.parse("0")


def test_a_sum_keeps_the_format_of_its_first_part_that_is_not_zero():
    assert str(quantity.parse("1Gi") + quantity.parse("1073741824")) == "2Gi"
    assert str(quantity.ZERO + quantity.parse("1Gi")) == "1Gi"
    assert str(quantity.parse("2") - quantity.parse("500m")) == "1500m"
    assert str(-quantity.parse("1Mi") * 3) == "-3Mi"


quantities = st.builds(
    Quantity,
    st.integers(-(2**61), 2**61).map(Fraction) | st.integers(-(10**15), 10**15).map(lambda n: Fraction(n, 10**9)),
    st.sampled_from(Format),
)


@given(quantities)
def test_the_canonical_text_means_the_same_and_is_stable(value):
    again = quantity.parse(str(value))
    assert again == value
    assert quantity.canonical(str(again)) == str(again)


@given(quantities, quantities)
def test_arithmetic_is_exact_and_ordered(left, right):
    assert (left + right) - right == left
    assert left + right == right + left
    assert (left < right) is (right - left > quantity.ZERO)


@given(st.text("0123456789.eE+-numkMGTPiK", max_size=12))
def test_no_text_does_worse_than_being_refused(text):
    with contextlib.suppress(quantity.QuantityError):
        assert quantity.parse(quantity.canonical(text)) == quantity.parse(text)
