"""A console between a guest and whatever standard input is. In a process of its own, whose terminal is real."""

import os
import subprocess
import sys
import threading

SCRIPT = """
import asyncio, sys
from isthmus.cli import consoles

class Guest:
    def __init__(self):
        self.got = b""
        self.left = int(sys.argv[1])
    def __aiter__(self):
        return self
    async def __anext__(self):
        await asyncio.sleep(0.001)
        if not self.left and (self.got.endswith(b"end") or not sys.argv[2]):
            raise StopAsyncIteration
        self.left = max(0, self.left - 1)
        return b"x" * 20000 if self.left else b""
    async def send(self, data):
        self.got += data
    async def close(self):
        sys.stderr.write(self.got.decode())

asyncio.run(consoles._carry_terminal(Guest()))
"""


def console(stdin, stdout, left: int, wait: str = "") -> subprocess.Popen:
    argv = [sys.executable, "-c", SCRIPT, str(left), wait]
    return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)


def test_a_file_is_typed_to_its_end(tmp_path):
    (tmp_path / "typed").write_text("root\n" * 5000 + "end")
    with (tmp_path / "typed").open("rb") as stdin:
        _, told = console(stdin, subprocess.DEVNULL, 0, "wait").communicate(timeout=20)
    assert told.decode() == "root\n" * 5000 + "end"


def test_nobody_need_type_anything():
    process = console(subprocess.DEVNULL, subprocess.PIPE, 3)
    shown, told = process.communicate(timeout=20)
    assert (process.returncode, told, len(shown)) == (0, b"", 40000)


def test_a_guest_that_floods_a_slow_terminal_loses_nothing_and_leaves_it_blocking():
    ours, terminal = os.openpty()
    process = console(terminal, terminal, 30)
    shown = []

    def read():
        while len(b"".join(shown)) < 29 * 20000:
            shown.append(os.read(ours, 4096))

    reader = threading.Timer(0.5, read)
    reader.start()
    _, told = process.communicate(timeout=20)
    reader.join(10)
    assert (process.returncode, told) == (0, b"")
    assert os.get_blocking(terminal)
    for descriptor in (ours, terminal):
        os.close(descriptor)
