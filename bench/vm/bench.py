"""VMs on a running platform: how soon one runs, what fifty cost beside bare QEMU, what the API feels of it.

    python -m bench vm [--runs 20] [--count 50] [--json FILE]

Needs root. The platform is started by `isthmus up` in a network namespace of its own; guests are one boot sector that
halts, so that what is measured is ours and QEMU's. Bare QEMU is started with the very arguments of our machines, their
files copied; only the tap, which needs a network made by somebody, is replaced by a hub that goes nowhere.
"""

import argparse
import json
import os
import platform as machine
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.e2e import manifests
from tests.e2e.platform import Namespace, Platform, wait_for
from tests.guests import sector

from isthmus.lib.home import Home

LOOK_SECONDS = 0.01
PROBE_SECONDS = 0.05
MIB = 1 << 20


@contextmanager
def started() -> Iterator[Platform]:
    """A platform with the idle guest loaded."""
    root, name = Path(tempfile.mkdtemp(prefix="ib-", dir="/tmp")), f"ib{os.getpid()}"
    space = Namespace(name)
    space.create()
    platform = Platform(Home(root), 6443, name, space)
    try:
        with space.entered():
            platform.up()
            archive = root / "idle.tar"
            sector.write(archive, "idle")
            platform.isthmus("image load", str(archive), "--name", sector.IDLE)
            wait_for(lambda: not platform.processes("operations.appliance"), 600)  # made by the first `up`, niced
            yield platform
    finally:
        with space.entered():
            platform.down("--vms")
        for pid in platform.processes():
            os.kill(pid, signal.SIGKILL)
        space.delete()
        shutil.rmtree(root, ignore_errors=True)


def vm(name: str) -> dict[str, Any]:
    body = manifests.vm(name, "Always", terminationGracePeriodSeconds=0)
    spec = body["spec"]["template"]["spec"]
    spec["volumes"][0]["containerDisk"]["image"] = sector.IDLE
    spec["domain"]["memory"]["guest"] = "64Mi"
    # KubeVirt asks for a tenth of a CPU for each virtual one: fifty would not be scheduled on this machine.
    spec["domain"]["resources"] = {"requests": {"cpu": "10m"}}
    return body


def is_running(platform: Platform, name: str) -> bool:
    return ((platform.find("vmi", name) or {}).get("status") or {}).get("phase") == "Running"


def remove(platform: Platform, names: list[str]) -> None:
    for name in names:
        platform.delete("vm", name)
    wait_for(lambda: not platform.list("vmi"), 300, 0.05)
    wait_for(lambda: not platform.processes("qemu-system"), 60)


def time_starts(platform: Platform, runs: int) -> list[float]:
    """Seconds from the request that creates a VM until its VMI says Running: QEMU has answered on its monitor."""
    found = []
    for number in range(runs + 1):
        name = f"start-{number}"
        began = time.perf_counter()
        platform.create(vm(name))
        wait_for(lambda name=name: is_running(platform, name), 60, LOOK_SECONDS)
        found.append(time.perf_counter() - began)
        remove(platform, [name])
    return found[1:]  # the first has the image taken out of its layers


class Probe:
    """Asks the API for one object again and again from a thread, as a person's client does."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._stop = threading.Event()
        self.seconds: list[float] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with self._platform.space.entered():
            while not self._stop.wait(PROBE_SECONDS):
                began = time.perf_counter()
                self._platform.list("vm")
                self.seconds.append(time.perf_counter() - began)

    def figures(self) -> dict[str, float]:
        values = sorted(self.seconds)
        return {"p50_ms": 1e3 * statistics.median(values), "p99_ms": 1e3 * values[int(0.99 * (len(values) - 1))],
                "requests": len(values)}  # fmt: skip


def pss(pids: list[int]) -> float:
    """MiB, shared pages divided among those who share them."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += int(next(line.split()[1] for line in lines if line.startswith("Pss:")))
    return total / 1024


def run_fleet(platform: Platform, count: int) -> dict[str, Any]:
    """Start `count` VMs at once, weigh them, stop them; the API is asked all the while."""
    names = [f"fleet-{number}" for number in range(count)]
    with Probe(platform) as idle:
        time.sleep(5)
    ours_alone = pss(platform.processes())
    began = time.perf_counter()
    with Probe(platform) as starting:
        for name in names:
            platform.create(vm(name))
        wait_for(lambda: sum(v["status"].get("phase") == "Running" for v in platform.list("vmi")) == count, 600, 0.1)
    seconds = time.perf_counter() - began
    time.sleep(5)
    with Probe(platform) as running:
        time.sleep(5)
    qemus = platform.processes("qemu-system")
    assert len(qemus) == count
    weights = {"qemu": pss(qemus), "control": pss([p for p in platform.processes() if p not in qemus])}
    records = [json.loads(p.read_text()) for p in platform.home.node(platform.node).glob("vms/*/machine.json")]
    with Probe(platform) as stopping:
        began = time.perf_counter()
        copies = [copy_machine(platform, record) for record in records]
        remove(platform, names)
    stop_seconds = time.perf_counter() - began
    with Probe(platform) as bare:
        bare_pss = weigh_bare(copies, bare)
    return {
        "start_seconds": seconds,
        "stop_seconds": stop_seconds,
        "pss_mib": weights | {"control_without_vms": ours_alone},
        "api": {
            "idle": idle.figures(),
            "starting": starting.figures(),
            "running": running.figures(),
            "stopping": stopping.figures(),
            "bare QEMUs start": bare.figures(),
        },
        "bare_pss_mib": bare_pss,
    }


def copy_machine(platform: Platform, record: dict[str, Any]) -> tuple[Path, list[str]]:
    """A machine's directory and arguments for a bare QEMU."""
    source = platform.home.node(platform.node) / "vms" / record["uid"]
    target = platform.home.root / "bare" / record["uid"]
    shutil.copytree(source / "disks", target / "disks")
    argv = [argument.replace(str(source), str(target)) for argument in record["argv"]]
    return target, [without_tap(argument) for argument in argv]


def without_tap(argument: str) -> str:
    if not argument.startswith("tap,"):
        return argument
    identity = next(part for part in argument.split(",") if part.startswith("id="))
    return f"hubport,{identity},hubid=0"


def weigh_bare(copies: list[tuple[Path, list[str]]], probe: Probe) -> float:
    """MiB of as many bare QEMUs; `probe` hears until they have started what that alone does to the API."""
    processes = []
    for directory, argv in copies:
        log = (directory / "log").open("wb")
        processes.append(subprocess.Popen(argv, cwd=directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
    try:
        deadline = time.monotonic() + 300
        while not all((directory / "qmp.sock").exists() for directory, _ in copies):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        probe.stop()
        time.sleep(10)
        assert all(process.poll() is None for process in processes)
        return pss([process.pid for process in processes])
    finally:
        for process in processes:
            process.kill()
            process.wait()


def rows(result: dict[str, Any], count: int) -> list[tuple[str, str, str]]:
    """What is shown: name, figure, goal."""
    starts, fleet = result["starts"], result["fleet"]
    weights, bare = fleet["pss_mib"], fleet["bare_pss_mib"]
    per_vm = (weights["qemu"] + weights["control"] - bare) / count
    api = fleet["api"]
    return [
        ("create to running, median, s", f"{statistics.median(starts):.2f}", "<= 1.5"),
        ("create to running, slowest, s", f"{max(starts):.2f}", ""),
        (f"PSS of {count} QEMU processes, MiB", f"{weights['qemu']:.0f}", ""),
        ("PSS of all else of ours, MiB", f"{weights['control']:.0f}", ""),
        ("the same without VMs, MiB", f"{weights['control_without_vms']:.0f}", ""),
        (f"PSS of {count} bare QEMU processes, MiB", f"{bare:.0f}", ""),
        ("ours above bare, MiB a VM", f"{per_vm:.1f}", "<= 5"),
        (f"{count} VMs created to running, s", f"{fleet['start_seconds']:.1f}", ""),
        (f"{count} VMs deleted to gone, s", f"{fleet['stop_seconds']:.1f}", ""),
        *(
            (f"API list while {name}, p50 / p99, ms", f"{api[name]['p50_ms']:.1f} / {api[name]['p99_ms']:.1f}", "")
            for name in api
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench vm")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--json", type=Path, default=Path("build/bench/vm.json"))
    arguments = parser.parse_args()
    load = os.getloadavg()
    with started() as platform:
        result = {"starts": time_starts(platform, arguments.runs), "fleet": run_fleet(platform, arguments.count)}
    result |= {"load": [load, os.getloadavg()], "cpus": os.cpu_count(), "python": machine.python_version()}
    for name, figure, goal in rows(result, arguments.count):
        print(f"{name:44} {figure:>16}   {goal}")
    print(f"load average before and after: {load[0]:.1f}, {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1))
    print(f"everything is in {arguments.json}")


if __name__ == "__main__":
    main()
