"""Digests that are interrupted say the same as hashlib, which never was."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.importer.sources import digests
from isthmus.importer.sources.digests import Midstate
from isthmus.importer.sources.hashing import Hasher

ALGORITHMS = ("sha1", "sha256", "sha512")


@given(st.binary(max_size=5000), st.integers(0, 39), st.sampled_from(ALGORITHMS))
def test_a_digest_that_was_taken_up_anywhere_is_hashlibs(data: bytes, blocks: int, algorithm: str):
    cut = min(blocks * 128, len(data) // 128 * 128)
    first = digests.new(algorithm)
    first.update(data[:cut])
    second = digests.new(algorithm, first.midstate())
    second.update(data[cut:])
    assert second.hexdigest() == hashlib.new(algorithm, data).hexdigest()


def test_lengths_beyond_the_first_word_of_the_counter_are_kept():
    block = random.Random(1).randbytes(1 << 20)
    whole, digest = hashlib.sha256(), digests.new("sha256")
    for _ in range(520):
        whole.update(block)
        digest.update(block)
    midstate = digest.midstate()
    assert midstate.size == 520 << 20
    again = digests.new("sha256", midstate)
    again.update(b"end")
    whole.update(b"end")
    assert again.hexdigest() == whole.hexdigest()


def test_within_a_block_there_is_nothing_to_tell():
    digest = digests.new("sha256")
    digest.update(b"x" * 65)
    assert digest.midstate() is None


@pytest.mark.parametrize("midstate", [Midstate("sha256", 63, "0" * 64), Midstate("sha256", 64, "0" * 63)])
def test_what_is_no_midstate_is_refused(midstate: Midstate):
    with pytest.raises(ValueError, match="stands like this"):
        digests.new("sha256", midstate)


def test_a_digest_that_was_begun_with_another_algorithm_is_refused():
    with pytest.raises(ValueError, match="none of sha512"):
        Hasher(["sha512"], Midstate("sha256", 64, "0" * 64))
