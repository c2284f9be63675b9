"""How many files a process may open."""

import resource

import pytest

from isthmus.lib import limits


@pytest.fixture
def hard():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("soft", "most", "then"), [(512, 600, 600), (512, 1 << 40, None), (512, 100, 512)])
def test_a_low_limit_is_raised_as_far_as_it_may_be_and_none_is_lowered(hard, soft, most, then):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits.raise_open_files(most)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (then or hard, hard)
