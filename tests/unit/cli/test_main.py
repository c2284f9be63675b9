"""What a person meets at the command line: help, and one message for bad input."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from isthmus.cli import connection, main
from isthmus.cli.main import COMMANDS, isthmus

PARENTS = [(name,) for name in COMMANDS]
LEAVES = [*PARENTS, ("image", "load"), ("image", "list"), ("image", "remove")]


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_says_what_it_does_and_what_each_option_is_for(command):
    result = CliRunner().invoke(isthmus, [*command, "--help"])
    assert result.exit_code == 0
    found = find(command)
    assert found.help and found.help.strip().endswith(".")
    options = [p for p in found.params if isinstance(p, click.Option) and not p.hidden]
    self_evident = {"namespace", "context", "kubeconfig", "converter", "names"}
    assert [o.name for o in options if not o.help and o.name not in self_evident] == []


def test_the_help_lists_every_command_in_the_order_of_the_table():
    text = CliRunner().invoke(isthmus, ["--help"]).output
    listed = [line.split()[0] for line in text.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == list(COMMANDS)


def test_the_help_is_quick_because_no_command_is_imported():
    code = "import sys, isthmus.cli.main; print(*(m for m in sys.modules if m.startswith('isthmus.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"isthmus.cli", "isthmus.cli.main"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dance"], "No such command 'dance'"),
        (["up", "--port", "zero"], "'zero' is not a valid integer"),
        (["up", "--port", "0"], "0 is not in the range"),
        (["import"], "Missing argument 'SOURCE'"),
        (["import", "/absent/a.ova"], "is not there"),
        (["import", "https://example.org/a.ova", "--network", "VM Network"], "expected SOURCE=TARGET"),
        (["import", "https://example.org/a.ova", "--converter", "Magic"], "'Magic' is not one of"),
        (["image", "load", "/absent/image.tar"], "does not exist"),
        (["console"], "Missing argument 'VM'"),
        (["console", "vm", "--kubeconfig", "/absent"], "does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_with_exit_code_2_and_one_message(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["isthmus", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in err
    assert "Traceback" not in err


def test_without_a_platform_it_says_how_to_start_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(sys, "argv", ["isthmus", "console", "vm"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "isthmus up" in capsys.readouterr().err


def test_a_broken_kubeconfig_is_named(capsys, monkeypatch, tmp_path):
    broken = tmp_path / "kubeconfig"
    broken.write_text("clusters: [")
    monkeypatch.setattr(sys, "argv", ["isthmus", "console", "vm", "--kubeconfig", str(broken)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert str(broken) in capsys.readouterr().err


def test_status_of_nothing_is_exit_code_1_and_says_so(tmp_path):
    result = CliRunner().invoke(isthmus, ["status", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "is not running" in result.output


def test_down_of_nothing_is_no_error(tmp_path):
    result = CliRunner().invoke(isthmus, ["down", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "Isthmus was not running\n")


def test_the_kubeconfig_given_wins_over_the_environment_and_that_over_the_home(monkeypatch, tmp_path):
    home = tmp_path / "kubeconfig"
    home.touch()
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/some/where")
    assert connection.find_kubeconfig(tmp_path / "given") == tmp_path / "given"
    assert connection.find_kubeconfig(None) is None  # the client reads $KUBECONFIG, which may name several files
    monkeypatch.delenv("KUBECONFIG")
    assert connection.find_kubeconfig(None) == home


def find(names):
    command = isthmus
    for name in names:
        command = command.get_command(click.Context(command), name)
    return command
