import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from isthmus.client import kubeconfig
from isthmus.lib.home import Home
from isthmus.operations import lifecycle, state


def test_down_of_what_does_not_run_is_no_error(tmp_path):
    assert lifecycle.down(Home(tmp_path)) is False


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(lifecycle.LifecycleError, match=r"file/home cannot be written .*choose another --data-dir"):
        lifecycle.prepare(Home(tmp_path / "file" / "home"), 6443, ["n1"])


def test_a_prepared_home_is_private(tmp_path):
    home = Home(tmp_path / "home")
    lifecycle.prepare(home, 6443, ["n1"])
    assert {p.stat().st_mode & 0o777 for p in (home.root, home.pki, home.logs, home.run)} == {0o700}


def test_a_port_without_an_api_server_is_not_ready(tmp_path):
    home = Home(tmp_path)
    lifecycle.prepare(home, 6443, ["n1"])
    assert lifecycle.ready(home, 1) is False


def test_of_two_that_bring_it_up_at_once_one_makes_the_identities_and_starts(tmp_path, monkeypatch):
    home, started = Home(tmp_path / "home"), []

    def start(argv, *, log):
        started.append(argv)
        state.write(home, 6443, ("n1",))  # what the supervisor does first

    monkeypatch.setattr(lifecycle.run, "start", start)
    monkeypatch.setattr(lifecycle, "wait_ready", lambda home, port: time.sleep(0.1))
    with ThreadPoolExecutor(4) as pool:
        found = {pool.submit(lifecycle.up, home, 6443, ["n1"]).result for _ in range(4)}
        assert len({result() for result in found}) == 1
    assert len(started) == 1
    assert kubeconfig.load(home.kubeconfig).ca == (home.pki / "ca.crt").read_bytes()
