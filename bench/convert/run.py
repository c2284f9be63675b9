"""Guest conversion side by side: our appliance and virt-v2v-in-place on the same legacy guest, both under TCG.

`python bench/convert/run.py [--runs N] [--prove] [--json FILE]` (root; builds the guest if it is not cached). Each run
starts from a fresh overlay; the time is from the start of the program or of QEMU to its end. With --prove both results
are booted on virtio and judged, as a fast conversion that does not boot is worth nothing.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.guests import legacy, machine  # noqa: E402

from isthmus.importer.appliance import build as appliance  # noqa: E402
from isthmus.importer.convert import events, plan, virtv2v  # noqa: E402
from isthmus.importer.prove import judge  # noqa: E402

MAC = "00:50:56:9a:00:01"
TARGET_RATIO = 10
BOOT_SECONDS = 300


@dataclass
class Row:
    converter: str
    version: str
    seconds: list[float] = field(default_factory=list)
    changes: int = 0
    boots: str = "not tried"

    @property
    def best(self) -> float:
        return min(self.seconds)


async def run_ours(base: Path, out: Path, row: Row) -> None:
    kernel, initrd = await appliance.build_boot_files()
    await machine.overlay(base, out)
    boot = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", plan.plan([plan.Nic(MAC)]))
    async with machine.boot(out, network=False, keep=True, extra=boot) as running:
        await running.until_end(120)
        row.seconds.append(round(running.seconds, 2))
    report = events.parse(running.text.splitlines())
    if report.verdict != "converted":
        raise SystemExit(f"our converter did not convert: {report.reason}\n{running.text[-2000:]}")
    row.changes = len(report.changes)


async def run_virt_v2v(base: Path, out: Path, row: Row) -> None:
    await machine.overlay(base, out)
    result = await virtv2v.convert(out, out.with_suffix(".log"), image_format="qcow2")
    if not result.converted:
        raise SystemExit(f"virt-v2v did not convert: {result.output.error}")
    row.seconds.append(round(result.seconds, 2))
    row.version = result.version


async def prove(disk: Path) -> str:
    expected = judge.Plan({})
    async with machine.boot(disk, mac=MAC) as guest:
        while True:
            await guest.read(1)
            verdict = judge.judge(guest.text, expected, guest.seconds, ended=guest.ended)
            if verdict.outcome is not judge.Outcome.RUNNING or guest.seconds > BOOT_SECONDS:
                return f"{verdict.outcome} after {guest.seconds:.0f} s" + (
                    f" ({verdict.reason})" if verdict.reason else ""
                )


async def measure(runs: int, *, with_proof: bool) -> list[Row]:
    base = await legacy.build()
    await appliance.build_boot_files()
    rows = [Row("isthmus appliance", "this tree"), Row("virt-v2v-in-place", "")]
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as scratch:
        for row, convert in zip(rows, (run_ours, run_virt_v2v), strict=True):
            for number in range(runs):
                out = Path(scratch, f"{convert.__name__}-{number}.qcow2")
                await convert(base, out, row)
                print(f"{row.converter}: {row.seconds[-1]:.2f} s", file=sys.stderr, flush=True)
            if with_proof:
                row.boots = await prove(out)
    return rows


def table(rows: list[Row]) -> str:
    lines = [f"{'converter':<20} {'best s':>8} {'median s':>9}  boots on virtio"]
    lines += [
        f"{row.converter:<20} {row.best:>8.2f} {statistics.median(row.seconds):>9.2f}  {row.boots}" for row in rows
    ]
    ratio = rows[1].best / rows[0].best
    lines.append(f"ours is {ratio:.1f} times as fast (target: {TARGET_RATIO})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--prove", action="store_true", help="boot both results on virtio")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows = asyncio.run(measure(arguments.runs, with_proof=arguments.prove))
    print(table(rows))
    result = {
        "benchmark": "convert", "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "accelerator": "tcg",
        "cpus": os.cpu_count(), "kernel": platform.release(), "load_before": load,
        "ratio": round(rows[1].best / rows[0].best, 2), "target": TARGET_RATIO,
        "rows": [{"converter": row.converter, "version": row.version, "seconds": row.seconds, "changes": row.changes,
                  "boots": row.boots} for row in rows],
    }  # fmt: skip
    text = json.dumps(result, indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
