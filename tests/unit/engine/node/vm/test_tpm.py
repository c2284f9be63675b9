"""A TPM beside a machine: its command line, its end."""

import os

import pytest

from isthmus.engine.node.vm import tpm
from isthmus.engine.node.vm.errors import ProcessError
from isthmus.engine.node.vm.machine import Sockets


def test_its_socket_is_named_relative_and_its_state_lies_where_it_is_kept(tmp_path):
    argv = tpm.build_argv("/usr/bin/swtpm", Sockets(tmp_path), tmp_path / "state")
    assert argv[argv.index("--ctrl") + 1] == "type=unixio,path=tpm.sock,mode=0600"
    assert argv[argv.index("--tpmstate") + 1] == f"dir={tmp_path / 'state'},mode=0600"
    assert "--terminate" in argv


async def test_it_listens_once_it_is_started_and_ends_when_nobody_came(tmp_path):
    sockets = Sockets(tmp_path)
    await tpm.start(tpm.find_program(), sockets, tmp_path / "state")
    pid = int(sockets.tpm_pidfile.read_text())
    await tpm.start(tpm.find_program(), sockets, tmp_path / "state")  # the first one ends
    assert int(sockets.tpm_pidfile.read_text()) != pid
    pid = int(sockets.tpm_pidfile.read_text())
    await tpm.stop(sockets)  # its cgroup can be removed now
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await tpm.stop(sockets)


async def test_one_that_does_not_start_leaves_its_own_words(tmp_path):
    with pytest.raises(ProcessError, match="swtpm does not start: Try"):
        await tpm.start("/bin/cat", Sockets(tmp_path), tmp_path / "state")
