"""The one failure of a source: names the file, the member of it and the offset, fit to be shown to a person."""

from collections.abc import Iterator
from contextlib import contextmanager

from isthmus.codec.malformed import MalformedError


class SourceError(Exception):
    """The input is damaged, incomplete, hostile or unreachable."""

    def __init__(self, reason: str, *, source: str, member: str = "", offset: int | None = None) -> None:
        self.source = source
        self.member = member
        self.offset = offset
        self.reason = reason
        where = source + (f": {member}" if member and member != source else "")
        super().__init__(f"{where}: {reason}" if offset is None else f"{where}: at byte {offset}: {reason}")


@contextmanager
def blamed_on(source: str, member: str = "") -> Iterator[None]:
    """Say where it was when a format's reader, or reading itself, fails."""
    try:
        yield
    except MalformedError as error:
        raise SourceError(error.reason, source=source, member=member, offset=error.offset) from error
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise SourceError(reason, source=source, member=member) from error
