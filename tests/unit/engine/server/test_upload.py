"""Tokens for uploads, and bodies that are streamed: no more is held than the one who reads has room for."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.server import bodystream, uploadtokens
from isthmus.machinery.errors import StatusError

TARGET = uploadtokens.Target("ns", "claim")


def test_a_token_stands_for_one_claim_until_it_expires():
    token = uploadtokens.seal(TARGET, 100.0)
    assert uploadtokens.unseal(token, 99.9) == TARGET
    with pytest.raises(StatusError) as refused:
        uploadtokens.unseal(token, 100.0)
    assert refused.value.code == 401


@given(st.text(max_size=60), st.integers(0, 20))
def test_a_token_that_was_tampered_with_is_none(text, position):
    token = uploadtokens.seal(TARGET, 100.0)
    for bad in (text, token[:position] + text + token[position + 1 :]):
        if bad != token:
            with pytest.raises(StatusError) as refused:
                uploadtokens.unseal(bad, 0)
            assert refused.value.code == 401


class Transport:
    paused = 0

    def pause_reading(self):
        self.paused = 1

    def resume_reading(self):
        self.paused = 0

    def is_closing(self):
        return False


async def test_a_client_is_held_back_while_nobody_reads():
    transport = Transport()
    body = bodystream.BodyStream(transport)
    for _ in range(20):
        body.feed(b"x" * 100_000)
    assert transport.paused
    body.feed(b"")
    assert sum([len(piece) async for piece in body]) == 2_000_000
    assert not transport.paused


async def test_a_reader_waits_for_what_comes_later():
    body = bodystream.BodyStream(Transport())

    async def feed():
        for piece in (b"a", b"b", b""):
            await asyncio.sleep(0)
            body.feed(piece)

    task = asyncio.create_task(feed())
    assert [piece async for piece in body] == [b"a", b"b"]
    await task


async def test_a_client_that_stalls_is_told_so(monkeypatch):
    monkeypatch.setattr(bodystream, "STALL_SECONDS", 0.01)
    with pytest.raises(StatusError) as refused:
        async for _ in bodystream.BodyStream(Transport()):
            pass
    assert refused.value.code == 408
