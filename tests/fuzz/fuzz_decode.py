"""Throw mutated YAML and JSON at the body decoder: `python tests/fuzz/fuzz_decode.py [seconds] [seed]`.

A finding is any exception but StatusError 400, a value that JSON cannot say, or a body that takes over a second; it is
printed with the bytes that caused it.
"""

import random
import sys
import time

import orjson

from isthmus.machinery import decode, errors

SEEDS = (
    b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {a: b, 'c': \"d\"}\nspec:\n  ports:\n  - port: 80\n",
    b"a: &a {x: [1, 2.5, ~, yes, 0777, 2024-01-01]}\nb: *a\nc: {<<: *a, x: 1}\nd: |\n  text\n  more\ne: >-\n  folded\n",
    b"a0: &a0 [x, x]\na1: &a1 [*a0, *a0]\na2: &a2 [*a1, *a1]\na3: [*a2, *a2, *a2]\n",
    b"%YAML 1.1\n---\n!!map {? a : !!str 1, ? b : !!int '2'}\n...\n",
    b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a\\u00e4","name":"b"},"spec":[1,-2.5e3,null,true]}',
)
TOKENS = (
    b"&a ",
    b"*a",
    b"<<: ",
    b"- ",
    b": ",
    b"? ",
    b"\n",
    b"  ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"|",
    b"'",
    b'"',
    b"!!int ",
    b"#",
    b"\\u0000",
)
SLOW = 1.0


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, tokens put in, pieces repeated."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 1:
                changed[at:at] = rng.choice(TOKENS) * rng.choice((1, 1, 2, 500))
            case 2:
                piece = changed[at : at + rng.randrange(40)]
                changed[at:at] = piece * rng.choice((1, 3, 50))
            case _:
                del changed[at : at + rng.randrange(8)]
    return bytes(changed)


def problem(body: bytes) -> str | None:
    """What is wrong about the decoder's answer to `body`."""
    for media in ("application/yaml", "application/json"):
        begun = time.monotonic()
        try:
            value, _ = decode.decode(body, media, find_duplicates=True)
            orjson.dumps(value)
        except errors.StatusError as error:
            if error.code != 400:
                return f"{media}: {error.code}"
        except Exception as error:  # noqa: BLE001 - every other exception is a finding
            return f"{media}: {error!r}"
        if (took := time.monotonic() - begun) > SLOW:
            return f"{media}: took {took:.1f} s"
    return None


def main(seconds: float = 10, seed: int = 0) -> int:
    """The number of findings (0 or 1)."""
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        body = mutate(rng.choice(SEEDS), rng)
        count += 1
        if (found := problem(body)) is not None:
            print(f"{found} for {body.hex()}")
            return 1
    print(f"{count} bodies, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3])))
