import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engine.node import guestapi, logfiles, sockets
from isthmus.engine.node.jobs import Jobs
from isthmus.engine.node.logfiles import Wanted


async def collect(paths, wanted, is_live=lambda: False):
    return b"".join([chunk async for chunk in logfiles.read(paths, wanted, is_live)])


@given(
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=30),
    st.integers(0, 40),
    st.booleans(),
)
def test_the_tail_is_the_last_lines(tmp_path_factory, lines, count, ended):
    path = tmp_path_factory.mktemp("log") / "x"
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    path.write_bytes(text)
    expected = b"".join(text.splitlines(keepends=True)[-count:] if count else [])
    if b"\r" in text or any(c in text for c in b"\x0b\x0c\x1c\x1d\x1e\x85"):
        return  # splitlines counts more than newlines
    assert text[logfiles.find_tail(path, count) :] == expected


def test_a_tail_longer_than_a_block_is_found_across_blocks(tmp_path):
    path = tmp_path / "x"
    text = b"".join(b"%d\n" % number for number in range(40_000))
    path.write_bytes(text)
    for count in (1, 2, 20_000, 39_999, 40_000, 50_000):
        assert text[logfiles.find_tail(path, count) :] == b"".join(text.splitlines(keepends=True)[-count:])


async def test_older_files_come_first(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"1\n")
    new.write_bytes(b"2\n3\n")
    assert await collect([old, new], Wanted()) == b"1\n2\n3\n"
    assert await collect([old, new], Wanted(tail=1)) == b"3\n"
    assert await collect([old, new], Wanted(limit=3)) == b"1\n2"


async def test_following_ends_with_its_writer_and_misses_nothing(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a\n")
    live = True
    task = asyncio.create_task(collect([path], Wanted(follow=True), lambda: live))
    await asyncio.sleep(0.05)
    with path.open("ab") as file:
        file.write(b"b\n")
    live = False
    assert await asyncio.wait_for(task, 5) == b"a\nb\n"


async def test_timestamps_stand_before_each_line(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a\nb\n")
    for line in (await collect([path], Wanted(timestamps=True))).splitlines():
        assert line[:4].isdigit()
        assert line.split()[1] in (b"a", b"b")


async def test_a_file_that_is_not_there_is_empty(tmp_path):
    assert await collect([tmp_path / "x"], Wanted(tail=3)) == b""


def test_a_long_path_gets_a_short_name(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with sockets.short_path(deep / "x.sock") as name:
        assert len(name) <= sockets.LIMIT
        assert name.endswith("/x.sock")
    with sockets.short_path(tmp_path / "y") as name:
        assert name == str(tmp_path / "y")


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1m30s", 90), ("1h", 3600), ("250ms", 0.25), ("0s", 0)])
def test_go_durations_are_read(text, seconds):
    assert guestapi.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-1s", "5 m", "1x"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        guestapi.parse_duration(text)


async def test_a_job_is_started_once_and_its_outcome_waits():
    jobs, ended, runs = Jobs(), asyncio.Event(), []

    async def work():
        runs.append(1)
        return 7

    jobs.start("k", work, ended.set)
    jobs.start("k", work, ended.set)
    await ended.wait()
    assert (jobs.take("k"), jobs.take("k"), len(runs)) == (7, None, 1)


async def test_the_failure_of_a_job_is_raised_where_it_is_asked_for():
    jobs, ended = Jobs(), asyncio.Event()

    async def work():
        raise KeyError("x")

    jobs.start("k", work, ended.set)
    await ended.wait()
    with pytest.raises(KeyError):
        jobs.take("k")


async def test_a_job_can_be_ended():
    jobs = Jobs()
    jobs.start("k", lambda: asyncio.sleep(60), lambda: None)
    assert jobs.running("k")
    await jobs.cancel("k")
    assert not jobs.running("k")
