import asyncio
import os
import signal
import sys
import time

import pytest

from isthmus.lib import run


async def test_it_gives_what_a_command_wrote():
    done = await run.run(["sh", "-c", "echo out; echo err >&2"])
    assert (done.returncode, done.text, done.stderr) == (0, "out\n", b"err\n")


async def test_standard_input_arrives_whole_and_by_default_is_empty():
    data = os.urandom(300_000)
    assert (await run.run(["cat"], stdin=data)).stdout == data
    assert (await run.run(["cat"])).stdout == b""


async def test_a_command_that_does_not_read_its_input_ends_as_it_pleases():
    done = await run.run(["true"], stdin=b"x" * 1_000_000)
    assert done.returncode == 0


async def test_uvloop_gives_input_too():
    import uvloop

    def work():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return [runner.run(run.run([command], stdin=b"text")).text for command in ("cat", "true")]

    assert await asyncio.to_thread(work) == ["text", ""]


async def test_a_failure_names_the_command_its_exit_code_and_its_last_words():
    with pytest.raises(run.CommandError, match=r"^sh: exited with 3: no room$") as caught:
        await run.run(["sh", "-c", "echo first; echo no room >&2; exit 3"])
    assert caught.value.stderr == "no room\n"
    assert (await run.run(["false"], check=False)).returncode == 1


async def test_what_cannot_be_started_says_why(tmp_path):
    with pytest.raises(run.CommandError, match=r"cannot be started .No such file or directory"):
        await run.run([tmp_path / "absent"])
    with pytest.raises(run.CommandError, match=r"cannot be started .Permission denied"):
        run.start([tmp_path], log=tmp_path / "log")


async def test_a_command_past_its_deadline_is_killed_with_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    with pytest.raises(run.CommandError, match=r"did not end within 0\.3 s"):
        await run.run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], timeout=0.3)
    assert await _gone(int(pid_file.read_text()))


async def test_a_cancelled_command_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(run.run(["sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"]))
    while not pid_file.exists() or not pid_file.read_text():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _gone(int(pid_file.read_text()))


async def test_a_started_command_leads_a_session_and_its_log_is_private_and_appended_to(tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        process = run.start([sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())"], log=log)
        assert process.wait(10) == 0
    assert log.read_text() == "True\nTrue\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_group_that_is_gone_is_no_error(tmp_path):
    process = run.start(["sleep", "60"], log=tmp_path / "log")
    run.kill_group(process.pid, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    run.kill_group(process.pid)


async def _gone(pid, seconds=5.0):
    """Whether the process ends (a zombie has ended)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        await asyncio.sleep(0.02)
    return False
