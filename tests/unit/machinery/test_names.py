import re

import pytest

from isthmus.machinery import names


@pytest.mark.parametrize("name", ["a", "a-b", "1", "0a9", "a" * 63])
def test_a_dns_label_is_accepted(name):
    assert names.dns1123_label(name) == []


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "ä", "a b", "a\n", "a" * 64])
def test_what_is_no_dns_label_is_explained(name):
    assert names.dns1123_label(name)


def test_a_dotted_name_is_told_that_a_label_has_no_dots():
    assert names.dns1123_label("a.b") == ["must not contain dots"]


def test_the_explanation_is_kube_apiservers():
    (explanation,) = names.dns1123_subdomain("A")
    assert explanation == (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


@pytest.mark.parametrize("name", ["a.b", "a-b.c-d", "1.2", "a" * 253, ".".join(["a" * 63] * 3)])
def test_a_subdomain_is_accepted(name):
    assert names.dns1123_subdomain(name) == []


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a-.b", "a.B", "a" * 254])
def test_what_is_no_subdomain_is_explained(name):
    assert names.dns1123_subdomain(name)


def test_a_dns_1035_label_begins_with_a_letter():
    assert names.dns1035_label("a1") == []
    assert "start with an alphabetic character" in names.dns1035_label("1a")[0]


@pytest.mark.parametrize("key", ["a", "A.b_c-d", "a.b/c", f"{'a' * 253}/{'b' * 63}"])
def test_a_label_key_is_accepted(key):
    assert names.label_key(key) == []


@pytest.mark.parametrize("key", ["", "/", "a/", "/a", "A/b", "a/b/c", "-a", "a" * 64, f"{'a' * 254}/b"])
def test_what_is_no_label_key_is_explained(key):
    assert names.label_key(key)


def test_label_values_may_be_empty_but_not_end_in_a_dash():
    assert names.label_value("") == []
    assert names.label_value("a-")


def test_path_segments_may_hold_colons_but_no_slashes():
    assert names.path_segment("system:node") == []
    assert names.path_segment("a/b%") == ["may not contain '/'", "may not contain '%'"]
    assert names.path_segment("..") == ["may not be '..'"]


def test_config_keys_cannot_climb_out_of_a_directory():
    assert names.config_key("a.B_c-d") == []
    assert names.config_key("..a") == ["must not start with '..'"]
    assert names.config_key(".") == ["must not be '.'"]


def test_a_generated_name_is_the_prefix_and_five_readable_characters():
    made = {names.generate("web-") for _ in range(50)}
    assert all(re.fullmatch("web-[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in made)
    assert len(made) == 50
    assert len(names.generate("x" * 100)) == 63


def test_a_prefix_may_end_in_a_dash_because_more_follows():
    assert names.of_prefix(names.dns1123_label, "web-") == []
    assert names.of_prefix(names.dns1123_label, "-")
    assert names.of_prefix(names.dns1123_label, "Web-")


def test_a_long_hostile_name_takes_linear_time():
    assert names.dns1123_subdomain("a-" * 100_000)
    assert names.label_key("a." * 100_000)
