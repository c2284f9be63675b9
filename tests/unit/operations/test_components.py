from isthmus.lib.home import Home
from isthmus.operations.components import components


def test_the_api_server_comes_first_and_has_no_identity_of_its_own(tmp_path):
    first = components(Home(tmp_path), 7443, ["n1"])[0]
    assert first.name == "apiserver"
    assert not first.user
    assert first.argv[-2:] == ("--port", "7443")


def test_each_node_has_an_agent_under_kubernetes_name_for_it(tmp_path):
    agents = [c for c in components(Home(tmp_path), 6443, ["n1", "n2"]) if c.name.startswith("agent-")]
    assert [(a.name, a.user, a.groups) for a in agents] == [
        ("agent-n1", "system:node:n1", ("system:nodes",)),
        ("agent-n2", "system:node:n2", ("system:nodes",)),
    ]


def test_names_are_unique_and_every_process_is_told_its_home(tmp_path):
    found = components(Home(tmp_path), 6443, ["n1", "n2"])
    assert len({c.name for c in found}) == len(found)
    assert all(c.argv[c.argv.index("--home") + 1] == str(tmp_path) for c in found)


def test_only_nodes_and_controllers_have_groups_and_none_is_a_master(tmp_path):
    groups = {group for c in components(Home(tmp_path), 6443, ["n1"]) for group in c.groups}
    assert groups == {"system:nodes", "system:isthmus:controllers"}
