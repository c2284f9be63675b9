import configparser
import shlex
from pathlib import Path

import pytest

from isthmus.lib.home import Home
from isthmus.operations import lifecycle, systemd, vms


def read(home, *, root=True):
    parsers = {}
    for name, text in systemd.units(home, 6443, ["n1"], root=root).items():
        parsers[name] = configparser.ConfigParser(interpolation=None, strict=True, comment_prefixes="#")
        parsers[name].optionxform = str
        parsers[name].read_string(text)
    return parsers


def test_the_unit_runs_the_supervisor_and_leaves_vms_alone_when_it_stops(tmp_path):
    unit = read(Home(tmp_path))[systemd.PLATFORM]
    assert shlex.split(unit["Service"]["ExecStart"]) == lifecycle.supervisor_argv(Home(tmp_path), 6443, ["n1"])
    assert unit["Service"]["KillMode"] == "process"
    assert unit["Service"]["OOMPolicy"] == "continue"  # of one VM that the kernel ends the others know nothing
    assert unit["Service"]["Restart"] == "on-failure"  # killed, not ended by `down`
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_guests_are_shut_down_before_the_platform_stops_with_the_machine(tmp_path):
    unit = read(Home(tmp_path))[systemd.GUESTS]
    assert unit["Unit"]["After"] == systemd.PLATFORM  # what starts after it stops before it
    assert shlex.split(unit["Service"]["ExecStop"])[-4:] == ["down", "--vms", "--data-dir", str(tmp_path)]
    assert int(unit["Service"]["TimeoutStopSec"]) > vms.LONGEST_GRACE


def test_a_users_own_units_start_with_that_user(tmp_path):
    assert {u["Install"]["WantedBy"] for u in read(Home(tmp_path), root=False).values()} == {"default.target"}


@pytest.mark.parametrize(
    ("name", "written"),
    [("with space", "with space"), ("100%", "100%%"), ("$HOME", "$$HOME"), ('quo"te', 'quo\\"te'), ("a\\b", "a\\\\b")],
)
def test_what_systemd_would_read_into_a_path_is_escaped(name, written):
    units = read(Home(Path("/srv") / name))
    assert f'"/srv/{written}"' in units[systemd.PLATFORM]["Service"]["ExecStart"]
    assert f'"/srv/{written}"' in units[systemd.GUESTS]["Service"]["ExecStop"]


def test_without_systemd_it_says_so_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    with pytest.raises(lifecycle.LifecycleError, match="leave --systemd out"):
        systemd.install(Home(tmp_path / "home"), 6443, ["n1"])
    assert not (tmp_path / "home").exists()
