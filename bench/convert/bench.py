"""Guest conversion side by side: our appliance and virt-v2v-in-place on the same guests, both under TCG.

    python -m bench convert [--guests legacy,xfs,...] [--runs N] [--prove] [--json FILE]

Guests are those of tests/guests (`legacy` and varied.MATRIX; built if not cached, as root). Each run starts from a
fresh overlay; the time is from the start of the program or of QEMU to its end. With --prove both results are booted on
virtio and judged, as a fast conversion that does not boot is worth nothing.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.guests import conversion, legacy, machine, varied

from isthmus.importer.convert import virtv2v
from isthmus.importer.prove import judge

OURS, THEIRS = "isthmus", "virt-v2v"
TARGET_RATIO = 10


@dataclass
class Row:
    guest: str
    converter: str
    version: str = ""
    seconds: list[float] = field(default_factory=list)
    boots: str = "not tried"
    warnings: list[str] = field(default_factory=list)


async def run_ours(base: Path, out: Path, row: Row) -> None:
    done = await conversion.convert(base, out)
    if done.report.verdict != "converted":
        sys.exit(f"our converter did not convert: {done.report.reason}\n{done.text[-2000:]}")
    row.seconds.append(round(done.seconds, 2))
    row.warnings = list(done.report.warnings)


async def run_virt_v2v(base: Path, out: Path, row: Row) -> None:
    await machine.overlay(base, out)
    result = await virtv2v.convert([out], out.with_suffix(".log"), image_format="qcow2")
    if not result.converted:
        sys.exit(f"virt-v2v did not convert: {result.output.error}")
    row.seconds.append(round(result.seconds, 2))
    row.version, row.warnings = result.version, list(result.output.warnings)


async def find_guest(name: str) -> tuple[Path, bool, dict[str, list[str]]]:
    """(disk, whether it needs UEFI, its static addresses)."""
    if name == "legacy":
        recipe = legacy.Recipe()
        return await legacy.build(recipe), False, {recipe.interface: [recipe.address]}
    one = varied.MATRIX[name]
    return await varied.build(one), one.firmware == "uefi", {one.interface: [one.address]}


async def measure(name: str, runs: int, *, with_proof: bool) -> list[Row]:
    base, uefi, addresses = await find_guest(name)
    rows = [Row(name, OURS, "this tree"), Row(name, THEIRS)]
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as scratch:
        for row, convert in zip(rows, (run_ours, run_virt_v2v), strict=True):
            for number in range(runs):
                out = Path(scratch, f"{convert.__name__}-{number}.qcow2")
                await convert(base, out, row)
                print(f"{name}, {row.converter}: {row.seconds[-1]:.2f} s", file=sys.stderr, flush=True)
            if with_proof:
                # Only ours leaves a service that says the addresses.
                plan = judge.Plan(addresses, speaks=True) if row.converter == OURS else judge.Plan(speaks=False)
                row.boots = described(await conversion.prove(out, "virtio", plan, uefi=uefi))
    return rows


def described(proof: conversion.Proof) -> str:
    verdict = proof.verdict
    return f"{verdict.outcome} after {proof.seconds:.0f} s" + (f" ({verdict.reason})" if verdict.reason else "")


def table(rows: list[Row]) -> str:
    lines = [f"{'guest':<10} {'converter':<10} {'best s':>8} {'median s':>9}  boots on virtio"]
    lines += [
        f"{row.guest:<10} {row.converter:<10} {min(row.seconds):>8.2f} {statistics.median(row.seconds):>9.2f}  "
        + row.boots
        for row in rows
    ]
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        ratio = statistics.median(theirs.seconds) / statistics.median(ours.seconds)
        lines.append(f"{ours.guest}: ours is {ratio:.1f} times as fast (target: {TARGET_RATIO})")
    return "\n".join(lines)


async def measure_all(names: list[str], runs: int, *, with_proof: bool) -> list[Row]:
    return [row for name in names for row in await measure(name, runs, with_proof=with_proof)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench convert")
    parser.add_argument("--guests", default="legacy", help=f"of legacy, {', '.join(varied.MATRIX)}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prove", action="store_true", help="boot the results on virtio")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows = asyncio.run(measure_all(arguments.guests.split(","), arguments.runs, with_proof=arguments.prove))
    print(table(rows))
    result = {
        "benchmark": "convert", "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "accelerator": "tcg",
        "cpus": os.cpu_count(), "kernel": platform.release(), "load": [load, os.getloadavg()[0]],
        "target": TARGET_RATIO, "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    out = arguments.json or Path("build/bench/convert.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"everything is in {out}")


if __name__ == "__main__":
    main()
