"""XML from strangers: no document type, so no entities and nothing fetched; size, depth and number of elements bounded.

Namespaces are dropped: exporters disagree about them (OVF 0.9, 1.x, 2.0; with and without prefixes), never about names.
"""

import xml.etree.ElementTree as ET
from xml.parsers import expat

from isthmus.codec.malformed import MalformedError

MOST_BYTES = 8 << 20
MOST_ELEMENTS = 200_000
MOST_DEPTH = 64


class _Guard:
    """Expat's handlers: what is allowed goes to a TreeBuilder."""

    def __init__(self) -> None:
        self.builder = ET.TreeBuilder()
        self.parser = expat.ParserCreate(namespace_separator="}")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.builder.data
        self._depth = self._elements = 0

    def _refuse(self, *_: object) -> None:
        raise MalformedError("the XML has a document type or entities: not allowed", self.parser.CurrentByteIndex)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MOST_DEPTH or self._elements > MOST_ELEMENTS:
            raise MalformedError("the XML is nested too deeply, or too long", self.parser.CurrentByteIndex)
        # Of attributes that differ by namespace only, the last one, OVF's by habit, wins.
        self.builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.builder.end(_local(name))


def parse(data: bytes) -> ET.Element:
    """The root element, all names without namespace. Raises MalformedError."""
    if len(data) > MOST_BYTES:
        raise MalformedError(f"an XML document of more than {MOST_BYTES} bytes", MOST_BYTES)
    guard = _Guard()
    try:
        guard.parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise MalformedError(f"this is no well-formed XML: {error}", max(guard.parser.CurrentByteIndex, 0)) from error
    return guard.builder.close()


def _local(name: str) -> str:
    return name.rpartition("}")[2]
