"""Throw mutated texts at the label and field selector parsers: `python tests/fuzz/fuzz_selectors.py [seconds] [seed]`.

A finding is any exception but StatusError 400, or a selector whose own text does not mean the same.
"""

import random
import sys
import time

from isthmus.machinery import errors, fields, labels

SEEDS = (
    "app=web,tier!=back,!absent,present",
    "app.kubernetes.io/name in (a,b,,c),x notin (),rank>5,rank<9",
    r"metadata.name=a\,b,status.phase!=Running,spec.x==\\",
)
ALPHABET = "ab1.-_/=!<>(), \t\n\\inot\x00é"


def mutate(text: str, rng: random.Random) -> str:
    """A few characters changed, put in or taken out."""
    changed = list(text)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(changed) + 1)
        changed[at : at + rng.randrange(3)] = rng.choices(ALPHABET, k=rng.randrange(4))
    return "".join(changed)


def problem(text: str) -> str | None:
    """What is wrong about the parsers' answers to `text`."""
    for parse in (labels.parse, fields.parse):
        try:
            selector = parse(text)
        except errors.StatusError as error:
            if error.code != 400:
                return f"{parse.__module__}: {error.code}"
            continue
        except Exception as error:  # noqa: BLE001 - every other exception is a finding
            return f"{parse.__module__}: {error!r}"
        again = parse(str(selector))
        if sorted(map(str, again.requirements)) != sorted(map(str, selector.requirements)):
            return f"{parse.__module__}: {selector!r} became {again!r}"
    return None


def main(seconds: float = 10, seed: int = 0) -> int:
    """The number of findings (0 or 1)."""
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        text = mutate(rng.choice(SEEDS), rng)
        count += 1
        if (found := problem(text)) is not None:
            print(f"{found} for {text!r}")
            return 1
    print(f"{count} texts, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3])))
