from pathlib import Path

from isthmus.lib.home import Home, default_root


def test_the_environment_names_the_data_directory(monkeypatch):
    monkeypatch.setenv("ISTHMUS_HOME", "/srv/isthmus")
    assert default_root() == Path("/srv/isthmus")


def test_without_it_root_and_others_have_their_own_places(monkeypatch):
    monkeypatch.setenv("ISTHMUS_HOME", "")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_root() == Path("/var/lib/isthmus")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_root() == Path("/home/ada/.local/share/isthmus")


def test_everything_lies_below_the_root_and_looking_makes_nothing(tmp_path):
    home = Home(tmp_path / "data")
    paths = [home.kubeconfig, home.store, home.pki, home.logs, home.run, home.images, home.node("n1")]
    paths.append(home.component_kubeconfig("controllers"))
    assert all(path.is_relative_to(home.root) for path in paths)
    assert len(set(paths)) == len(paths)
    assert not home.root.exists()
