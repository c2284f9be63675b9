"""A package by its URL: read in place from a server with ranges, else as a stream from front to back."""

from isthmus.codec import manifest
from isthmus.codec.vmdk import descriptor, header
from isthmus.importer.sources import loose, opening, package, streams, web
from isthmus.importer.sources.errors import blamed_on
from isthmus.importer.sources.package import Package
from isthmus.importer.sources.streams import RandomFile


def open_url(location: str, checksum: manifest.Digest | None) -> Package:
    """The package at a URL: see opening.open_package.

    In place if the server serves ranges; to be hashed as a whole, a file has to come as a stream in any case.
    """
    address = web.parse_address(location)
    with blamed_on(address.shown):
        file = web.WebFile(address)
        head = streams.read_exactly(file.stream(0, header.SECTOR), header.SECTOR) if file.ranges else b""
    find = _web_sibling(address)
    if file.ranges and opening.is_xml(head):
        return opening.checked(package.open_seekable(address.shown, find, address.name), file.whole(), checksum)
    if not file.ranges or checksum:
        return _open_forward(address, file, checksum)
    if loose.is_disk(head):
        return loose.open_disk(address.shown, find, address.name)
    return package.open_ova(address.shown, file)


def _open_forward(address: web.Address, file: web.WebFile, checksum: manifest.Digest | None) -> Package:
    stream = file.whole()
    with blamed_on(address.shown):
        head = streams.read_exactly(stream, header.SECTOR)
    if opening.is_xml(head) or descriptor.looks_like(head):
        # Small: fetched once more, with the files beside it.
        stream.close()
        find = _web_sibling(address)
        open_with = package.open_seekable if opening.is_xml(head) else loose.open_disk
        return opening.checked(open_with(address.shown, find, address.name), web.WebFile(address).whole(), checksum)
    return opening.open_stream(address.shown, streams.Prefixed(head, stream), checksum)


def _web_sibling(address: web.Address) -> package.Find:
    def find(name: str) -> RandomFile | None:
        try:
            return web.WebFile(address.sibling(name) if name != address.name else address)
        except web.NotFoundError:
            return None

    return find
