"""Our transfer against `qemu-img convert` on the same streamOptimized disk, in one run, in turn.

    python bench/transfer/bench.py [--disk disk.vmdk] [--size MIB] [--level N] [--rounds N] [--json FILE]

Ours is the whole worker as its Pod runs it: a process that opens an OVA, reads the disk in place, checks its SHA-256
against the manifest, and returns when the volume is on stable storage. qemu-img gets the extracted disk and hashes
nothing; it is measured as people call it (page cache, not flushed), as durably as ours (`-t writeback` flushes at the
end), and with as many requests at once as it can. Ratios are taken round by round.

The disk is made from files of this machine (binaries, libraries, documents), with holes and zeros, unless given; it is
deflated by zlib at its usual level, as exporters do it.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from operator import truediv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.vmware import make_ova, ovf, vmdk  # noqa: E402

MOST_MEMORY_MIB = 100
LEAST_RATIO = 1.5


@dataclass
class Row:
    """One contestant: seconds and MiB of the disk's data a second (median), CPU seconds, peak memory in MiB."""

    name: str
    seconds: float
    times: list[float]
    data_rate: float
    cpu: float
    memory: float


def make_disk(path: Path, size: int, folders: tuple[str, ...] = ("/usr/bin", "/usr/lib", "/usr/share")) -> None:
    """A raw disk of `size` bytes, half of it files of this machine, a sixteenth written zeros, the rest holes."""
    with path.open("wb") as out:
        out.truncate(size)
        written, position, number = 0, 1 << 20, 0
        for folder in folders:
            for file in sorted(Path(folder).rglob("*")):
                if file.is_symlink() or not file.is_file() or not os.access(file, os.R_OK):
                    continue
                data = file.read_bytes()[: 8 << 20]
                out.seek(position)
                out.write(data)
                written += len(data)
                position += -(-len(data) // 4096) * 4096
                number += 1
                if number % 16 == 0:
                    position += 1 << 20
                if number % 64 == 0:
                    out.write(bytes(1 << 20))
                if written >= size // 2 or position >= size - (16 << 20):
                    return


def timed(argv: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(argv, env=os.environ | environment, stdout=subprocess.DEVNULL)
    # ru_maxrss would count what we were before the exec; the kernel's high-water mark starts anew with it.
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        match = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        peak = max(peak, int(match[1]) if match else 0)
        time.sleep(0.005)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{argv} exited with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak / 1024


def contestants(ova: Path, disk: Path, work: Path) -> dict[str, tuple[list[str], dict[str, str], Path]]:
    """Name -> command, environment, what it writes."""
    volume = work / "volume"
    volume.mkdir(exist_ok=True)
    worker = [sys.executable, "-m", "isthmus.importer.worker", "transfer", "--source", str(ova), "--disk", "vmdisk1=v"]
    convert = ["qemu-img", "convert", "-f", "vmdk", "-O", "raw"]
    out = work / "qemu.raw"
    return {
        "isthmus (SHA-256, durable)": (
            worker,
            {"ISTHMUS_VOLUMES": json.dumps({"v": str(volume)})},
            volume / "disk.img",
        ),
        "qemu-img convert": ([*convert, str(disk), str(out)], {}, out),
        "qemu-img convert, durable": ([*convert, "-t", "writeback", str(disk), str(out)], {}, out),
        "qemu-img convert -W -m 16": ([*convert, "-W", "-m", "16", str(disk), str(out)], {}, out),
    }


def race(ova: Path, disk: Path, work: Path, rounds: int, data: int) -> list[Row]:
    """All in turn, `rounds` times, so that whatever else the machine does hits all alike."""
    field = contestants(ova, disk, work)
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in field}
    for _ in range(rounds):
        for name, (argv, environment, out) in field.items():
            out.unlink(missing_ok=True)
            results[name].append(timed(argv, environment))
    ours, theirs = (field[name][2] for name in list(field)[:2])
    subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", ours, theirs], check=True)
    rows = []
    for name, measured in results.items():
        seconds = statistics.median(m[0] for m in measured)
        rate, cpu = data / seconds / (1 << 20), statistics.median(m[1] for m in measured)
        rows.append(Row(name, seconds, [round(m[0], 3) for m in measured], rate, cpu, max(m[2] for m in measured)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disk", type=Path, help="a raw disk to use instead of a made one")
    parser.add_argument("--size", type=int, default=2048, metavar="MIB", help="of the made disk")
    parser.add_argument("--level", type=int, default=6, help="zlib's, which exporters use; 0: isal's fast one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="where to write (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work, prefix="isthmus-bench-") as name:
        work = Path(name)
        raw = args.disk or work / "disk.raw"
        if not args.disk:
            make_disk(raw, args.size << 20)
        data = sum(len(grain) for _, grain in vmdk.find_grains(raw))
        folder = work / "package"
        folder.mkdir()
        make_ova.make_folder(folder, ovf.Machine("bench", ()), [raw], level=args.level)
        ova, disk = work / "bench.ova", folder / "bench-disk1.vmdk"
        make_ova.pack(ova, [folder / entry for entry in make_ova.order(folder)])
        capacity, stored = raw.stat().st_size, disk.stat().st_size
        rows = race(ova, disk, work, args.rounds, data)
    ours = rows[0]
    ratios = {row.name: statistics.median(map(truediv, row.times, ours.times)) for row in rows}
    print(f"disk {capacity >> 20} MiB, data {data >> 20} MiB, file {stored >> 20} MiB; medians of {args.rounds} rounds")
    print(f"{'':28} {'s':>7} {'best':>7} {'data MiB/s':>11} {'CPU s':>7} {'peak MiB':>9} {'ours is':>8}")
    for row in rows:
        figures = f"{row.seconds:7.2f} {min(row.times):7.2f} {row.data_rate:11.0f} {row.cpu:7.2f} {row.memory:9.1f}"
        print(f"{row.name:28} {figures} {ratios[row.name]:7.2f}x")
    load, ratio = os.getloadavg()[0], min(list(ratios.values())[1:])
    print(f"ours is at least {ratio:.2f} times as fast (wanted: {LEAST_RATIO}), in {ours.memory:.0f} MiB of memory")
    print(f"{os.cpu_count()} CPUs, load average {load:.1f}: on a busy machine CPU time is compared rather than speed")
    if args.json:
        result = {"capacity": capacity, "data": data, "stored": stored, "rounds": args.rounds, "load": load}
        result |= {"ratio": round(ratio, 3), "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if ratio >= LEAST_RATIO and ours.memory <= MOST_MEMORY_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
