"""Times as `kubectl get` shows them: "5d3h", "<unknown>" (apimachinery, pkg/util/duration and metatable). Pure."""

from datetime import UTC, datetime, timedelta

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
    """A length of time in at most two units. Two seconds into the future are put down to clocks that differ."""
    seconds = int(length.total_seconds())
    if seconds < 0:
        return INVALID if seconds < -1 else "0s"
    minutes, hours = seconds // 60, seconds // 3600
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    return _days(hours)


def _days(hours: int) -> str:
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
