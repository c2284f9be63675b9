"""Back-off and background tasks."""

import asyncio
import logging

from hypothesis import given
from hypothesis import strategies as st

from isthmus.lib.tasks import Backoff, TaskSet


@given(st.floats(0.001, 10), st.floats(10, 1000), st.integers(1, 200))
def test_delays_double_up_to_the_cap_with_at_most_the_jitter(base, cap, attempts):
    backoff = Backoff(base, cap, jitter=0.5)
    for n in range(attempts):
        plain = min(cap, base * 2 ** min(n, 62))
        assert plain <= backoff.next() <= plain * 1.5
    backoff.reset()
    assert backoff.next() <= base * 1.5


async def test_a_failed_task_is_logged_and_the_others_live(caplog):
    tasks = TaskSet()

    async def fail():
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR):
        tasks.spawn(fail(), name="the failing one")
        other = tasks.spawn(asyncio.sleep(60), name="other")
        await asyncio.sleep(0.01)
    assert "the failing one" in caplog.text
    assert not other.done()
    await tasks.close()
    assert other.cancelled()
    assert len(tasks) == 0
