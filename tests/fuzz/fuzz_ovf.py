"""Fuzz the OVF reader and what is made of it: only MalformedError; whatever was read can be mapped."""

import sys
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("src", "")]

from tests.fuzz import mutate

from isthmus.codec.malformed import MalformedError
from isthmus.importer.map import claims, concerns, names, virtual_machine
from isthmus.importer.sources import ovf
from isthmus.importer.worker import inspect

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "map"


def target(data: bytes) -> None:
    with suppress(MalformedError):
        for machine in ovf.parse(data).machines:
            name = names.to_label(machine.name)
            assert 0 < len(name) <= names.LABEL
            inspect.as_plain(machine)
            concerns.find_concerns(machine)
            networks = {nic.network: "" for nic in machine.nics}
            virtual_machine.virtual_machine(machine, name, "ns", claims.claim_names(machine, name), networks)


def seeds() -> list[bytes]:
    """The descriptors of the golden tests."""
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*.ovf"))]


if __name__ == "__main__":
    mutate.main(target, seeds())
