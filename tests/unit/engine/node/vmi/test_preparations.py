"""When a VMI that could not be prepared is tried again: not before its time, and at once if there is something new."""

import asyncio

import pytest

from isthmus.engine.node.image.errors import pull_failed
from isthmus.engine.node.vmi.backoff import Waiting
from isthmus.engine.node.vmi.preparations import Preparations
from isthmus.engine.node.vmi.preparing import PullError

KEY = ("default", "web")


class Preparer:
    """Fails with `error` as long as there is one."""

    def __init__(self):
        self.tries, self.images = 0, [None]
        self.error = PullError("i:1", pull_failed("refused"))

    async def prepare(self, vmi, pod):
        self.tries += 1
        if self.error:
            raise self.error
        return "prepared"

    def local_images(self, vmi):
        return list(self.images)


class Node:
    def __init__(self):
        self.now, self.preparer, self.ended = 0.0, Preparer(), asyncio.Event()
        self.preparations = Preparations(self.preparer, lambda _: self.ended.set(), lambda: self.now)
        self.vmi = {"metadata": {"uid": "u"}, "spec": {}}

    def look(self):
        return self.preparations.advance(KEY, self.vmi, {})

    async def try_once(self):
        """A look that starts a try, and the look at its outcome."""
        assert self.look() is None
        return await self.outcome()

    async def outcome(self):
        await asyncio.wait_for(self.ended.wait(), 5)
        self.ended.clear()
        return self.look()


@pytest.fixture
async def node():
    found = Node()
    yield found
    await found.preparations.close()


async def test_events_do_not_shorten_a_back_off(node):
    assert isinstance(await node.try_once(), Waiting)
    for _ in range(5):  # as many changes of Pod or VMI
        assert node.look().seconds == 10
    node.now = 9.9
    assert isinstance(node.look(), Waiting)
    assert node.preparer.tries == 1
    node.now = 10.0
    assert (await node.try_once()).seconds == 20
    assert node.preparer.tries == 2


async def test_an_image_that_was_loaded_meanwhile_is_noticed(node):
    await node.try_once()
    node.preparer.images, node.preparer.error = ["sha256:1"], None
    assert await node.try_once() == "prepared"


async def test_an_image_that_was_loaded_while_its_pull_was_about_to_fail_is_noticed(node):
    assert node.look() is None
    node.preparer.images = ["sha256:1"]
    assert await node.outcome() is None  # tried again at once
    assert isinstance(await node.outcome(), Waiting)  # and only once
    assert node.preparer.tries == 2


async def test_another_spec_is_tried_at_once(node):
    await node.try_once()
    node.vmi = {"metadata": {"uid": "u"}, "spec": {"volumes": []}}
    assert (await node.try_once()).seconds == 10


async def test_what_was_prepared_is_kept_until_it_is_forgotten(node):
    node.preparer.error = None
    assert await node.try_once() == "prepared"
    assert node.look() == "prepared"
    await node.preparations.forget("u")
    assert node.look() is None


async def test_a_success_lets_the_next_failure_begin_anew(node):
    await node.try_once()
    node.now = 10.0
    await node.try_once()
    node.now, error, node.preparer.error = 40.0, node.preparer.error, None
    assert await node.try_once() == "prepared"
    await node.preparations.forget("u")
    node.preparer.error = error
    assert (await node.try_once()).seconds == 10
