"""Times as `kubectl get` shows them: "5d3h", "<unknown>". The wording is machinery.table's. Pure."""

from datetime import UTC, datetime, timedelta

from isthmus.machinery import table

UNKNOWN = "<unknown>"
INVALID = "<invalid>"


def parse(text: object) -> datetime | None:
    """An RFC 3339 time as the API writes it, with or without microseconds; None for anything else."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def since(text: object, now: datetime) -> str:
    """How long ago `text` was."""
    time = parse(text)
    return UNKNOWN if time is None else human(now - time)


def human(length: timedelta) -> str:
    """A length of time."""
    return table.human_duration(length.total_seconds())
