"""Real processes under a keeper."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.lib.home import Home
from isthmus.lib.locks import locked
from isthmus.operations import lifecycle
from isthmus.operations.components import Component
from isthmus.operations.supervisor import Keeper


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for directory in (home.logs, home.run):
        directory.mkdir(parents=True)
    return home


def component(home: Home, script: str, *, once: bool = False) -> Component:
    """Python that counts its starts in the file `starts`, then runs `script`."""
    count = f"open({str(home.root / 'starts')!r}, 'a').write('x')\n"
    return Component("part", (sys.executable, "-c", count + script), once=once)


def starts(home: Home) -> int:
    path = home.root / "starts"
    return len(path.read_text()) if path.exists() else 0


async def until(look, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not look():
            await asyncio.sleep(0.01)


async def test_a_component_that_ends_is_started_again(home):
    task = asyncio.create_task(Keeper(component(home, "pass"), home).keep())
    await until(lambda: starts(home) >= 2)
    task.cancel()
    await asyncio.wait({task})


async def test_a_component_ends_with_its_keeper(home):
    task = asyncio.create_task(Keeper(component(home, "import time; time.sleep(60)"), home).keep())
    await until(lambda: starts(home) == 1)
    pid = int((home.run / "part.pid").read_text())
    task.cancel()
    await asyncio.wait({task})
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list(home.run.iterdir())


async def test_work_that_ends_is_tried_until_it_succeeds_and_then_left(home):
    failing = f"import sys; sys.exit(len(open({str(home.root / 'starts')!r}).read()) < 3)"
    async with asyncio.timeout(20):
        await Keeper(component(home, failing, once=True), home).keep()
    assert starts(home) == 3
    assert not list(home.run.iterdir())


async def test_what_cannot_be_started_now_is_started_later(home):
    home.logs.rmdir()  # as on a full disk: there can be no log
    task = asyncio.create_task(Keeper(component(home, "import time; time.sleep(60)"), home).keep())
    await asyncio.sleep(0.3)
    assert not task.done()
    home.logs.mkdir()
    await until(lambda: starts(home) == 1)
    task.cancel()
    await asyncio.wait({task})


def test_a_home_has_one_supervisor(home):
    argv = lifecycle.supervisor_argv(home, 1, ["n"])
    with locked(home.run / "supervisor.lock"):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "another supervisor keeps" in done.stderr
    assert [path.name for path in home.run.iterdir()] == ["supervisor.lock"]
