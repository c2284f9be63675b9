import configparser
import shlex
from pathlib import Path

import pytest

from isthmus.lib.home import Home
from isthmus.operations import lifecycle, systemd


def read(text):
    parser = configparser.ConfigParser(interpolation=None, strict=True, comment_prefixes="#")
    parser.optionxform = str
    parser.read_string(text)
    return parser


def test_the_unit_runs_the_supervisor_and_leaves_vms_alone_when_it_stops(tmp_path):
    home = Home(tmp_path)
    unit = read(systemd.unit(home, 6443, ["n1"], root=True))
    assert shlex.split(unit["Service"]["ExecStart"]) == lifecycle.supervisor_argv(home, 6443, ["n1"])
    assert unit["Service"]["KillMode"] == "process"
    assert unit["Service"]["Restart"] == "on-failure"  # killed, not ended by `down`
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_a_users_own_unit_starts_with_that_user(tmp_path):
    unit = read(systemd.unit(Home(tmp_path), 6443, ["n1"], root=False))
    assert unit["Install"]["WantedBy"] == "default.target"


@pytest.mark.parametrize(
    ("name", "written"),
    [("with space", "with space"), ("100%", "100%%"), ("$HOME", "$$HOME"), ('quo"te', 'quo\\"te'), ("a\\b", "a\\\\b")],
)
def test_what_systemd_would_read_into_a_path_is_escaped(name, written):
    line = read(systemd.unit(Home(Path("/srv") / name), 6443, ["n1"], root=True))["Service"]["ExecStart"]
    assert f'"/srv/{written}"' in line


def test_without_systemd_it_says_so_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    with pytest.raises(lifecycle.LifecycleError, match="leave --systemd out"):
        systemd.install(Home(tmp_path / "home"), 6443, ["n1"])
    assert not (tmp_path / "home").exists()
