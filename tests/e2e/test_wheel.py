"""The wheel carries the generated schemas, though the repository does not."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


def test_a_wheel_built_from_bare_sources_carries_what_is_generated(tmp_path):
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "src", sources / "src", ignore=shutil.ignore_patterns("generated", "__pycache__"))
    shutil.copytree(ROOT / ".cache", sources / ".cache")  # the npm package that `make setup` fetched
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    argv = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, sources]
    subprocess.run(argv, check=True, timeout=120)
    names = zipfile.ZipFile(next(tmp_path.glob("isthmus-*.whl"))).namelist()
    carried = {Path(name).name for name in names if name.startswith("isthmus/kinds/generated/")}
    assert {"index.json", "kinds.json", "structure.jsonl", "text.jsonl"} <= carried
    assert "isthmus/importer/appliance/guest/init" in names
    assert any(name.endswith("entry_points.txt") for name in names)
