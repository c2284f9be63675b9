"""Small raw disks with holes, repeated and random data, zeros that are written out, and a tail that fills no grain."""

import random
from pathlib import Path


def make(path: Path, size: int = (8 << 20) + 1536, seed: int = 1) -> Path:
    """A sparse raw disk of `size` bytes, the same for the same seed."""
    generator = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(0)
        file.write(b"\x33\xc0\x8e\xd0" + generator.randbytes(508))
        for position in range(1 << 20, size - (1 << 20), 1 << 20):
            file.seek(position)
            kind = generator.randrange(4)
            if kind == 0:
                file.write(generator.randbytes(100_000))
            elif kind == 1:
                file.write(bytes(200_000))  # zeros, but no hole
            elif kind == 2:
                file.write(f"line of text at {position}\n".encode() * 9000)
        file.seek(size - 1000)
        file.write(b"the end of the disk".rjust(1000))
    return path
