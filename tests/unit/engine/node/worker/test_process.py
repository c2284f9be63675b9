"""The worker's real wrapper, around the importer's real program (it refuses these arguments) and around stand-ins."""

import asyncio
import sys

import pytest

from isthmus.engine.node.worker import __main__ as wrapper
from isthmus.engine.node.worker import process


async def wait_gone(pid):
    async with asyncio.timeout(20):
        while process.is_alive(pid):
            await asyncio.sleep(0.02)


@pytest.fixture
def files(tmp_path):
    return process.Files(tmp_path / "pod")


async def test_a_worker_that_refuses_its_arguments_leaves_its_code_and_its_words(files):
    pid = process.start(files, ["no-such-verb"], {"v": "/x"}, {})
    assert process.find(files) == pid
    await wait_gone(pid)
    assert process.find(files) is None
    assert process.read_exit(files) not in (0, process.KILLED)
    assert files.log.read_text()


async def test_a_worker_that_was_killed_has_the_code_of_a_kill(files):
    pid = process.start(files, ["no-such-verb"], {}, {})
    process.terminate(pid, force=True)
    await wait_gone(pid)
    assert process.read_exit(files) == process.KILLED


@pytest.mark.parametrize(
    ("body", "code"),
    [("", 0), ("raise SystemExit(4)", 4), ("raise SystemExit", 0), ("raise SystemExit('no')", 1), ("1/0", 1)],
)
def test_every_way_to_end_has_its_code(tmp_path, monkeypatch, capsys, body, code):
    (tmp_path / "stand_in.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(wrapper, "PROGRAM", "stand_in")
    monkeypatch.setattr(sys, "argv", ["w", str(tmp_path / "exit")])
    ended = []
    monkeypatch.setattr(wrapper.os, "_exit", ended.append)
    wrapper.main()
    assert ended == [code]
    assert (tmp_path / "exit").read_text() == str(code)


@pytest.mark.parametrize(
    ("image", "ours"),
    [("isthmus.dev/worker", True), ("isthmus.dev/worker:1.0", True), ("isthmus.dev/workers", False), ("nginx", False)],
)
def test_a_worker_is_known_by_its_image(image, ours):
    assert process.is_worker({"spec": {"containers": [{"image": image}]}}) is ours


def test_a_pod_does_not_choose_what_its_worker_loads():
    names = ("LD_PRELOAD", "PYTHONPATH", "PATH", "KUBECONFIG", "ISTHMUS_VOLUMES", "https_proxy", "NO_PROXY")
    container = {"env": [*({"name": name, "value": "/x"} for name in names), {"name": "ISTHMUS_X", "valueFrom": {}}]}
    assert set(process.given_environment(container)) == {"ISTHMUS_VOLUMES", "https_proxy", "NO_PROXY"}
