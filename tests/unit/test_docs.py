"""The documents hold what they promise: links lead somewhere, scenarios have their page, decisions are listed."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("scenarios/**/*.md")])
SCENARIOS = sorted(path.parent for path in ROOT.glob("scenarios/*/run"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    targets = [t for t in LINK.findall(CODE.sub("", page.read_text())) if not t.startswith(("http://", "https://"))]
    broken = [t for t in targets if not (page.parent / t.partition("#")[0]).exists()]
    assert broken == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda p: p.name)
def test_every_scenario_can_be_run_and_has_its_page(scenario):
    assert (scenario / "run").stat().st_mode & 0o111
    assert (scenario / "README.md").read_text().startswith("# ")


def test_the_page_of_decisions_lists_each_decision():
    folder = ROOT / "docs/decisions"
    listed = set(LINK.findall((folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("0*.md")}


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    page = (ROOT / "docs/decisions/0002-dependencies.md").read_text()
    missing = [d for d in wanted if not re.search(rf"[| ]{re.escape(re.split('[>=<]', d)[0])}[ ,]", page)]
    assert missing == []


def test_the_readme_names_only_commands_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert set(re.findall(r"make ([a-z-]+)", page.read_text())) <= targets
