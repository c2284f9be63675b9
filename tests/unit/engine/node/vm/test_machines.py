"""A machine's directory knows whose it is from its first moment."""

import asyncio
from pathlib import Path

from isthmus.engine.node.vm.machine import Host
from isthmus.engine.node.vm.machines import Machines

HOST = Host("qemu-system-x86_64", (7, 2), "tcg")
KEY = ("default", "web")


def machines(root: Path) -> Machines:
    return Machines(root, "node", HOST, lambda key: None)


def test_a_machine_that_was_only_prepared_is_known_to_the_next_agent(tmp_path):
    directory = machines(tmp_path).reserve("uid-1", KEY)
    assert directory.stat().st_mode & 0o777 == 0o700
    after = machines(tmp_path)
    assert after.uids_of(KEY) == ["uid-1"]
    assert after.known() == {KEY}
    assert after.find_exit("uid-1") is None  # never started, so it has not ended


def test_a_removed_machine_leaves_nothing(tmp_path):
    held = machines(tmp_path)
    held.reserve("uid-1", KEY)
    held.reserve("uid-2", KEY)
    asyncio.run(held.remove("uid-1"))
    assert held.uids_of(KEY) == ["uid-2"]
    assert [path.name for path in tmp_path.iterdir()] == ["uid-2"]


def test_a_directory_without_an_owner_belongs_to_nobody_but_is_listed_for_collection(tmp_path):
    (tmp_path / "torn").mkdir()
    held = machines(tmp_path)
    assert held.uids() == ["torn"]
    assert held.known() == set()


def test_what_a_vm_keeps_is_found_and_forgotten_by_its_name(tmp_path):
    held = machines(tmp_path / "vms")
    assert held.keepers() == []
    (tmp_path / "state/default/web/tpm").mkdir(parents=True)
    (tmp_path / "state/other/web").mkdir(parents=True)
    assert held.keepers() == [("default", "web"), ("other", "web")]
    asyncio.run(held.forget(KEY))
    assert held.keepers() == [("other", "web")]
