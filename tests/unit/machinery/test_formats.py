import time

import pytest

from isthmus.machinery import formats

CASES = {
    "date-time": (["2026-01-31T23:59:60Z", "2026-01-31t01:02:03.5+02:00"], ["2026-02-30T00:00:00Z", "2026-01-31", "x"]),
    "date": (["2026-01-31"], ["2026-1-31", "2026-02-30", "20260131"]),
    "duration": (["1h2m", "22 ns", "0", "1.5s", "3 days"], ["", "h", "1", "1y"]),
    "ipv4": (["10.0.0.1"], ["10.0.0", "::1", "10.0.0.256"]),
    "ipv6": (["::1", "fe80::1"], ["10.0.0.1", "g::"]),
    "cidr": (["10.0.0.0/8", "10.1.2.3/8", "fd00::/64"], ["10.0.0.0", "10.0.0.0/33"]),
    "mac": (["02:00:00:00:00:01", "02-00-00-00-00-01", "0200.0000.0001"], ["02:00:00:00:00", "02:00-00:00:00:01"]),
    "uuid": (["00000000-0000-0000-0000-000000000000", "A" * 32], ["x", "00000000"]),
    "uuid4": (["11111111-1111-4111-8111-111111111111"], ["11111111-1111-1111-8111-111111111111"]),
    "byte": (["", "aGk="], ["aGk", "a b="]),
    "uri": (["https://a.b/c?d#e", "/a/b", "urn:x:y"], ["a/b", "", "http://[x"]),
    "email": (["a@b.c", "Some One <a@b.c>"], ["a", "@b", "a@"]),
    "hostname": (["a", "a-b.c", "example.com."], ["-a", "a..b", "a_b", ""]),
    "isbn": (["0321751043", "978-0321751041"], ["0321751044", "978-0321751042", ""]),
    "creditcard": (["4111 1111 1111 1111"], ["4111 1111 1111 1112", "1"]),
    "hexcolor": (["#FFF", "a1b2c3"], ["#FF", "red"]),
    "k8s-short-name": (["a-b"], ["a.b", "A"]),
    "k8s-long-name": (["a.b"], ["a..b"]),
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, (good, _) in CASES.items() for t in good])
def test_a_text_has_its_format(name, text):
    assert formats.find_format(name)(text)


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, (_, bad) in CASES.items() for t in bad])
def test_a_text_has_not_the_format(name, text):
    assert not formats.find_format(name)(text)


def test_an_unknown_format_is_not_checked():
    assert formats.find_format("quantity") is None


@pytest.mark.parametrize("name", sorted(formats._FORMATS))
@pytest.mark.parametrize(
    "piece", ["1", "a", "a.", "1:", "1h", ":", "(", "[", "-", "1.", " ", "1 ", "a@", "<", '"', ","]
)
def test_no_text_keeps_a_format_busy(name, piece):
    is_valid = formats.find_format(name)
    for text in (piece * 30_000, piece * 390, f"x{piece * 30_000}!", f"http://{piece * 30_000}"):
        started = time.monotonic()
        is_valid(text)
        assert time.monotonic() - started < 0.5
