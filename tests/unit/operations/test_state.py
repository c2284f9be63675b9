import json
import os

from isthmus.lib import run
from isthmus.lib.home import Home
from isthmus.operations import state


def test_what_is_written_is_read_while_the_process_lives(tmp_path):
    home = prepared(tmp_path)
    state.write(home, 7443, ("n1", "n2"))
    found = state.read(home)
    assert (found.pid, found.port, found.nodes) == (os.getpid(), 7443, ("n1", "n2"))
    state.clear(home)
    assert state.read(home) is None
    state.clear(home)


def test_nothing_and_nonsense_are_no_supervisor(tmp_path):
    home = prepared(tmp_path)
    assert state.read(home) is None
    (home.run / "supervisor.json").write_text("{half of")
    assert state.read(home) is None


def test_a_later_process_with_the_same_pid_is_not_taken_for_it(tmp_path):
    home = prepared(tmp_path)
    state.write(home, 7443, ("n1",))
    path = home.run / "supervisor.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": 1}))
    assert state.read(home) is None


def test_a_process_that_has_ended_has_no_start_even_as_a_zombie(tmp_path):
    process = run.start(["sleep", "60"], log=tmp_path / "log")
    assert state.process_start(process.pid) >= state.process_start(os.getpid())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert state.process_start(process.pid) is None
    process.wait()
    assert state.process_start(process.pid) is None


def prepared(tmp_path):
    home = Home(tmp_path)
    home.run.mkdir()
    return home
