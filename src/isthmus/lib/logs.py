"""One-line structured logs (logfmt) on standard error.

    2026-01-02T03:04:05.678901Z info  controllers client.informer: synced resource=pods count=12

`ISTHMUS_LOG` sets levels: `info`, or `warning,client=debug,engine.node=info` (names without `isthmus.`).
Fields go by `extra={"fields": {...}}`; a traceback becomes the field `error`, so that a line stays a line.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from isthmus.lib import clock

ROOT = "isthmus"
VARIABLE = "ISTHMUS_LOG"


def fields(**values: object) -> dict[str, dict[str, object]]:
    """The `extra` argument of a logging call: `log.info("bound", extra=logs.fields(pod=name))`."""
    return {"fields": values}


def _value(value: object) -> str:
    text = str(value)
    plain = bool(text) and not any(c.isspace() or c in '"=' or not c.isprintable() for c in text)
    return text if plain else json.dumps(text, ensure_ascii=False)


class LineFormatter(logging.Formatter):
    """Formats a record as one line, whatever its message holds."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self.component = component

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, component, logger, message, then key=value pairs."""
        extra = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            extra["error"] = "".join(traceback.format_exception(record.exc_info[1])).strip()
        message = record.getMessage().replace("\n", "\\n")
        pairs = "".join(f" {key}={_value(value)}" for key, value in extra.items())
        name = record.name.removeprefix(f"{ROOT}.")
        at = clock.micro_timestamp(record.created)
        return f"{at} {record.levelname.lower():7} {self.component} {name}: {message}{pairs}"


def parse_levels(text: str) -> dict[str, int]:
    """Logger name -> level. An entry without `=` is for all of isthmus. Raises ValueError for an unknown level."""
    known = logging.getLevelNamesMapping()
    levels: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, level = entry.rpartition("=")
        if level.upper() not in known:
            raise ValueError(f"{VARIABLE}: {level!r} is no log level; use debug, info, warning or error")
        levels[f"{ROOT}.{name}" if name else ROOT] = known[level.upper()]
    return levels


def setup(component: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send this process's logs to standard error as lines that name `component`. Called once, by an entry point."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, level in ({ROOT: logging.INFO} | parse_levels(environ.get(VARIABLE, ""))).items():
        logging.getLogger(name).setLevel(level)


def former(path: Path) -> Path:
    """Where `bound` puts what it keeps."""
    return path.with_name(f"{path.name}.1")


def bound(path: Path, limit: int, kept: int) -> None:
    """Cut a file that others append to (O_APPEND) once it is larger than `limit` bytes; the last `kept` are kept."""
    with suppress(OSError):
        if path.stat().st_size <= limit:
            return
        with path.open("rb") as file:
            file.seek(-kept, os.SEEK_END)
            former(path).write_bytes(file.read(kept))
        os.truncate(path, 0)
