"""Throw mutated Kubernetes protobuf bodies at the decoder: `python tests/fuzz/fuzz_protobuf.py [seconds] [seed]`.

A finding is any exception but ProtobufError, printed with the bytes that caused it.
"""

import base64
import json
import random
import sys
import time
from pathlib import Path

from isthmus.codec import protobuf
from isthmus.kinds import catalogue

GOLDEN = Path(__file__).parents[1] / "golden/protobuf/kubectl-1.32.json"


def seeds() -> list[bytes]:
    """What kubectl sent."""
    return [base64.b64decode(row["body"]) for row in json.loads(GOLDEN.read_text()).values()]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, and sometimes a piece doubled or cut."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    if rng.random() < 0.3:
        start = rng.randrange(len(changed))
        changed[start:start] = changed[start : start + rng.randrange(60)] * rng.randrange(4)
    if rng.random() < 0.3:
        del changed[rng.randrange(1, len(changed)) :]
    return bytes(protobuf.MAGIC + changed[4:] if rng.random() < 0.9 else changed)


def main(seconds: float = 10, seed: int = 0) -> int:
    """The number of findings (0 or 1)."""
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    corpus, tables = seeds(), catalogue.protobuf_tables()
    while time.monotonic() < end:
        data, count = mutate(rng.choice(corpus), rng), count + 1
        try:
            protobuf.decode(data, tables)
        except protobuf.ProtobufError:
            continue
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            print(f"{error!r} on {data.hex()}")
            return 1
    print(f"{count} bodies, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main(*(float(a) if i == 0 else int(a) for i, a in enumerate(sys.argv[1:3]))))
