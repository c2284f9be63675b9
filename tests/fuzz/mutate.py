"""The loop that our fuzz targets run in: with atheris where it is installed, else with mutations of their own seeds.

A target is a function of bytes that may raise the exceptions it names, and no others, and may not take long or much
memory. A program `fuzz_x.py [seconds]` calls `main`; unit tests call `run` for a second or two.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Target = Callable[[bytes], None]
SLOW = 2.0  # seconds for one input
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1)


def mutate(seed: bytes, generator: random.Random, others: Sequence[bytes]) -> bytes:
    """Flip, overwrite, cut, repeat or splice, a few times."""
    data = bytearray(seed)
    for _ in range(generator.choice((1, 1, 2, 4, 8))):
        if not data:
            return bytes(data)
        # Heads decide most, so hit them more often.
        at = generator.randrange(min(len(data), generator.choice((64, 600, 4096, 1 << 30))))
        match generator.randrange(7):
            case 0:
                data[at] ^= 1 << generator.randrange(8)
            case 1:
                data[at] = generator.randrange(256)
            case 2:
                size = generator.choice((2, 4, 8))
                data[at : at + size] = (generator.choice(_INTERESTING) % (1 << 8 * size)).to_bytes(size, "little")
            case 3:
                del data[at:]
            case 4:
                del data[at : at + generator.randrange(1, 1024)]
            case 5:
                data[at:at] = data[at : at + generator.randrange(1, 1024)]
            case _:
                other = generator.choice(others)
                start = generator.randrange(len(other) + 1)
                data[at : at + 512] = other[start : start + 512]
    return bytes(data)


def run(target: Target, seeds: Sequence[bytes], seconds: float, seed: int = 0) -> int:
    """Feed `target` for so long; how many inputs it took. A crash is raised with its input kept in a file."""
    generator = random.Random(seed)
    ends = time.monotonic() + seconds
    count = 0
    for data in seeds:
        target(data)
    while time.monotonic() < ends:
        data = mutate(generator.choice(seeds), generator, seeds)
        began = time.monotonic()
        try:
            target(data)
        except Exception:
            Path("fuzz-crash.bin").write_bytes(data)
            raise
        if time.monotonic() - began > SLOW:
            Path("fuzz-slow.bin").write_bytes(data)
            raise AssertionError(f"{len(data)} bytes took {time.monotonic() - began:.1f} s (fuzz-slow.bin)")
        count += 1
    return count


def main(target: Target, seeds: Sequence[bytes]) -> None:
    """The program: `fuzz_x.py [seconds]`."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    try:
        import atheris
    except ImportError:
        start = time.time_ns()
        print(f"{run(target, seeds, seconds, start)} inputs in {seconds:g} s, none broke it (seed {start})")
        return
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], target)
    atheris.Fuzz()
