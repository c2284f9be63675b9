"""The work queue's promises."""

import asyncio

import pytest

from isthmus.client.workqueue import WorkQueue


@pytest.fixture
def queue():
    return WorkQueue(base=0.001, cap=0.01)


async def test_a_key_that_waits_is_queued_once(queue):
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_it_is_worked_on_comes_back_after_done_and_not_before(queue):
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_the_earliest_of_several_delays_counts_and_fires_once(queue):
    queue.add_after("a", 5)
    queue.add_after("a", 0.01)
    queue.add_after("a", 0.02)
    assert await asyncio.wait_for(queue.get(), 1) == "a"
    queue.done("a")
    await asyncio.sleep(0.05)
    assert len(queue) == 0
    queue.close()


async def test_failures_are_counted_until_forgotten(queue):
    for _ in range(3):
        queue.add_rate_limited("a")
    assert queue.retries("a") == 3
    queue.forget("a")
    assert queue.retries("a") == 0
    queue.close()


async def test_every_waiting_worker_gets_a_key_of_its_own(queue):
    workers = [asyncio.create_task(queue.get()) for _ in range(5)]
    await asyncio.sleep(0)
    for key in range(5):
        queue.add(key)
    assert sorted(await asyncio.gather(*workers)) == [0, 1, 2, 3, 4]


async def test_a_cancelled_worker_does_not_swallow_a_wake_up(queue):
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
