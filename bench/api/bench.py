"""Our API server under the work of `work.py`, beside a kube-apiserver where there is one.

    python -m bench api [--count 2000] [--watchers 20] [--rounds 3] [--json FILE]
        [--peer https://127.0.0.1:6443 --peer-token T [--peer-ca F] [--peer-pids PID,PID]]

Starts our server in a fresh home, as `isthmus up` does, and measures each round with a new one; the peer's rounds are
run in turn with ours, and need an empty namespace `apibench` and a CRD of VirtualMachines. Prints the medians as a
table and everything as JSON. The client shares the machine with the servers: its own CPU is in the JSON, by phase.
"""

import argparse
import asyncio
import json
import os
import platform
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.api.work import Figures, Work
from isthmus.client import kubeconfig
from isthmus.lib.home import Home
from isthmus.operations import lifecycle


@dataclass
class Target:
    """A server to measure: where, as whom, and its processes."""

    url: str
    tls: ssl.SSLContext
    headers: dict[str, str]
    pids: list[int]


@contextmanager
def our_server(port: int) -> Iterator[tuple[Target, float]]:
    """Our server in a home of its own, and the seconds from exec to ready."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as root:
        home = Home(Path(root))
        lifecycle.prepare(home, port, ["n1"])
        tls = ssl.create_default_context(cafile=str(home.pki / "ca.crt"))
        tls.load_cert_chain(home.pki / "admin.crt", home.pki / "admin.key")
        argv = [sys.executable, "-m", "isthmus.engine.server", "--home", root, "--port", str(port)]
        started = time.perf_counter()
        with (home.logs / "apiserver.log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            while not lifecycle.ready(home, port):
                time.sleep(0.005)
            ready = time.perf_counter() - started
            url = kubeconfig.load(home.kubeconfig).server
            yield Target(url, tls, {}, [process.pid]), ready
        finally:
            process.terminate()
            process.wait(20)


async def measure(target: Target, count: int, watchers: int) -> Figures:
    """One round."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"} | target.headers
    connector = aiohttp.TCPConnector(ssl=target.tls, limit=0)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(target.url, headers=headers, connector=connector, timeout=timeout) as session:
        return await Work(session, count, watchers, target.pids).run()


def peer(arguments: argparse.Namespace) -> Target:
    """The server that we are compared with."""
    tls = ssl.create_default_context(cafile=arguments.peer_ca)
    if not arguments.peer_ca:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    pids = [int(pid) for pid in arguments.peer_pids.split(",") if pid]
    return Target(arguments.peer, tls, {"Authorization": f"Bearer {arguments.peer_token}"}, pids)


def medians(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """One figure a row: requests a second, milliseconds, CPU milliseconds a request, MiB."""
    rows: dict[str, list[float]] = {}
    for one in rounds:
        for name, value in one["rates"].items():
            rows.setdefault(f"{name} /s", []).append(value)
        for name, value in one["milliseconds"].items():
            rows.setdefault(f"{name}, ms", []).append(value)
        for name, value in one["rss_mib"].items():
            rows.setdefault(f"RSS {name}, MiB", []).append(value)
        for name in ("create", "get", "patch", "delete"):
            requests = one["requests"][name]
            rows.setdefault(f"server CPU per {name}, ms", []).append(one["server_cpu"][name] / requests * 1e3)
        if "ready_seconds" in one:
            rows.setdefault("exec to ready, s", []).append(one["ready_seconds"])
    return {name: round(statistics.median(values), 3) for name, values in rows.items()}


def table(ours: dict[str, float], theirs: dict[str, float] | None) -> str:
    """The medians side by side."""
    lines = [f"{'':28} {'isthmus':>12}" + (f" {'peer':>12} {'ratio':>8}" if theirs else "")]
    for name, value in ours.items():
        line = f"{name:28} {value:12g}"
        if theirs and theirs.get(name):
            line += f" {theirs[name]:12g} {value / theirs[name]:8.2f}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench api")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--watchers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=17443)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer", help="URL of a kube-apiserver to compare with")
    parser.add_argument("--peer-token", default="")
    parser.add_argument("--peer-ca")
    parser.add_argument("--peer-pids", default="")
    arguments = parser.parse_args()
    requests = dict.fromkeys(("create", "get", "delete"), arguments.count) | {"patch": min(arguments.count, 2000)}
    rounds: dict[str, list[dict[str, Any]]] = {"isthmus": [], "peer": []}
    for _ in range(arguments.rounds):
        with our_server(arguments.port) as (target, ready):
            figures = asyncio.run(measure(target, arguments.count, arguments.watchers))
        load = os.getloadavg()[0]
        rounds["isthmus"].append(asdict(figures) | {"ready_seconds": ready, "requests": requests, "load": load})
        if arguments.peer:
            figures = asyncio.run(measure(peer(arguments), arguments.count, arguments.watchers))
            rounds["peer"].append(asdict(figures) | {"requests": requests, "load": os.getloadavg()[0]})
    ours = medians(rounds["isthmus"])
    theirs = medians(rounds["peer"]) if rounds["peer"] else None
    print(table(ours, theirs))
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    result = {"machine": machine, "count": arguments.count, "watchers": arguments.watchers, "rounds": rounds}
    out = arguments.json or Path("build/bench/api.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result | {"medians": {"isthmus": ours, "peer": theirs}}, indent=1))
    print(f"everything is in {out}")


if __name__ == "__main__":
    main()
