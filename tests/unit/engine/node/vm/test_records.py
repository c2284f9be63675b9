"""What a machine's directory says is read once, and never older than what was written."""

import pytest

from isthmus.engine.node.vm import process
from isthmus.engine.node.vm.records import Records

KEY = ("default", "web")


def test_a_record_is_read_once_and_anew_after_each_write(tmp_path, monkeypatch):
    reads = []
    read_json = process.read_json
    monkeypatch.setattr(process, "read_json", lambda path: reads.append(path.name) or read_json(path))
    records = Records(tmp_path)
    records.reserve("u", KEY)
    assert records.read("u") == {}
    records.write("u", {"memory": 1})
    reads.clear()
    assert [records.read("u") for _ in range(5)] == [{"memory": 1}] * 5
    records.write("u", {"memory": 2})
    assert records.read("u") == {"memory": 2}
    assert reads == ["machine.json"] * 2


async def test_the_record_of_a_forgotten_machine_is_forgotten(tmp_path):
    records = Records(tmp_path)
    records.reserve("u", KEY)
    records.write("u", {"memory": 1})
    await records.forget("u")
    assert (records.read("u"), records.uids_of(KEY), records.uids()) == ({}, [], [])


def test_a_record_that_could_not_be_written_is_not_told(tmp_path, monkeypatch):
    records = Records(tmp_path)
    records.reserve("u", KEY)
    records.write("u", {"memory": 1})

    def full(path, value):
        raise OSError("no space left")

    monkeypatch.setattr(process, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        records.write("u", {"memory": 2})
    assert records.read("u") == {"memory": 1}


def test_how_an_earlier_start_ended_is_not_how_this_one_does(tmp_path):
    records = Records(tmp_path)
    records.reserve("u", KEY)
    process.record_exit(records.sockets("u"), process.Exit.SHUTDOWN)
    records.write("u", {"memory": 1})
    assert process.find_exit(records.sockets("u")) is process.Exit.CRASHED
