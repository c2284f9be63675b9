"""Build hook of the wheel: generates `isthmus/kinds/generated/`, which is not in the repository but in the wheel."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateKinds(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `python -m isthmus.kinds.generate`. An editable install is left alone: `make setup` generates there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before files are collected."""
        root = Path(self.root)
        if version == "editable" or (root / "src/isthmus/kinds/generated/index.json").exists():
            return
        command = [sys.executable, "-m", "isthmus.kinds.generate", "--cache", str(root / ".cache")]
        subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root / "src")}, check=True)
        build_data["artifacts"].append("src/isthmus/kinds/generated/*")
