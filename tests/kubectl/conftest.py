"""A real API server with its controllers in processes of their own, and a real kubectl."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.lib.home import Home
from isthmus.operations import lifecycle
from isthmus.operations.components import components

KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Kubectl:
    """Runs kubectl against one home, in one namespace."""

    home: Home
    namespace: str

    def __call__(self, *args: str, stdin: str | None = None, code: int = 0, timeout: float = 30) -> str:
        """Standard output of `kubectl ARGS`; a failure that was not expected shows everything."""
        done = self.run(*args, stdin=stdin, timeout=timeout)
        assert done.returncode == code, f"kubectl {' '.join(args)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *args: str, stdin: str | None = None, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """The completed process, whatever its exit code."""
        command = [KUBECTL, "--kubeconfig", str(self.home.kubeconfig), "-n", self.namespace, *args]
        environment = os.environ | {"KUBECACHEDIR": str(self.home.root / "kubecache")}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )

    def json(self, *args: str) -> Any:
        """`kubectl ARGS -o json`, parsed."""
        return json.loads(self(*args, "-o", "json"))

    def apply(self, manifest: dict[str, Any] | str, *args: str) -> str:
        """`kubectl apply -f -`."""
        return self("apply", "-f", "-", *args, stdin=manifest if isinstance(manifest, str) else json.dumps(manifest))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home, port = Home(tmp_path_factory.mktemp("home")), free_port()
    lifecycle.prepare(home, port, ["n1"])
    processes = []
    for component in components(home, port, ["n1"])[:2]:  # no agent: these tests are about the API
        with (home.logs / f"{component.name}.log").open("wb") as log:
            processes.append(subprocess.Popen(component.argv, stdout=log, stderr=log, start_new_session=True))
    deadline = time.monotonic() + 30
    while not lifecycle.ready(home, port):
        assert time.monotonic() < deadline, (home.logs / "apiserver.log").read_text()[-3000:]
        time.sleep(0.05)
    yield home
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture
def kubectl(home: Home, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**8}"
    client = Kubectl(home, name)
    client("create", "namespace", name)
    yield client
    client("delete", "namespace", name, "--wait=false")
