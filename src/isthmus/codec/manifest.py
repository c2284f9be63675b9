"""An OVF package's manifest (.mf): the digest of each file (DSP0243, 9.1)."""

import hashlib
import re
from dataclasses import dataclass
from types import MappingProxyType

from isthmus.codec.malformed import MalformedError

MOST_ENTRIES = 10_000
# The names that manifests use, and hashlib's.
ALGORITHMS = MappingProxyType({"SHA1": "sha1", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"})

_LINE = re.compile(r"^([A-Za-z0-9-]+)\s*\((.+)\)\s*=\s*([0-9A-Fa-f]+)$")


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file must hash to: `algorithm` as hashlib names it, `value` in lower-case hex."""

    algorithm: str
    value: str


def parse(data: bytes) -> dict[str, Digest]:
    """File name -> digest. Raises MalformedError with the offset of the line that is wrong."""
    digests: dict[str, Digest] = {}
    offset = 0
    for raw in data.split(b"\n"):
        line = raw.decode("utf-8", errors="replace").strip("\ufeff \t\r\0")
        if line:
            name, digest = _parse_line(line, offset)
            if digests.setdefault(name, digest) != digest:
                raise MalformedError(f'the manifest gives two different digests for "{name}"', offset)
        if len(digests) > MOST_ENTRIES:
            raise MalformedError(f"a manifest of more than {MOST_ENTRIES} files", offset)
        offset += len(raw) + 1
    return digests


def _parse_line(line: str, offset: int) -> tuple[str, Digest]:
    match = _LINE.match(line)
    if not match:
        raise MalformedError(f"a manifest line is not of the form SHA256(name)= digest: {line[:80]!r}", offset)
    name = match[1].upper().replace("-", "")
    if name not in ALGORITHMS:
        raise MalformedError(f"digest algorithm {match[1]} is not known ({', '.join(ALGORITHMS)} are)", offset)
    algorithm = ALGORITHMS[name]
    expected = hashlib.new(algorithm, usedforsecurity=False).digest_size * 2
    if len(match[3]) != expected:
        raise MalformedError(f'the {match[1]} of "{match[2]}" has {len(match[3])} hex digits, not {expected}', offset)
    return match[2], Digest(algorithm, match[3].lower())
