"""A long job on a terminal: one line that is written over again, and lines that stay when a part of it is done."""

import shutil
import sys
import time
from dataclasses import dataclass, field

SPINNER = "|/-\\"
BAR = 10
EVERY = 0.1  # seconds between two looks of the line
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size(count: float) -> str:
    """Bytes for people: 1.44 MB, 120 GB."""
    for factor, unit in UNITS:
        value = count / factor
        if value >= 0.9995:
            return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.3g} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """42 s, 3 min 20 s, 1 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def describe(done: float, total: float, rate: float, left: float | None) -> str:
    """`[####------]  42%  120 of 300 MB  85 MB/s  2 s left`, as far as it is known."""
    share = min(1.0, done / total) if total else 0.0
    filled = int(share * BAR)
    have, whole = size(done), size(total)
    if have.split()[1] == whole.split()[1]:
        have = have.split()[0]
    parts = [f"[{'#' * filled}{'-' * (BAR - filled)}] {int(share * 100):3d}%", f"{have} of {whole}"]
    if rate:
        parts.append(f"{size(rate)}/s")
    if left is not None and share < 1:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)


@dataclass
class Speed:
    """Bytes a second over the last moments."""

    rate: float = 0.0
    _last: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), 0.0))

    def update(self, done: float) -> float:
        """`done` bytes in all so far: the rate now, smoothed."""
        now = time.monotonic()
        passed = now - self._last[0]
        if passed >= 0.5:
            current = (done - self._last[1]) / passed
            self.rate = current if not self.rate else self.rate * 0.7 + current * 0.3
            self._last = (now, done)
        return self.rate


class Line:
    """One line that is written over again on a terminal, and left out where there is none."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = 0.0

    def show(self, text: str) -> None:
        """The line as it is now; what comes too soon after the last is left out."""
        if self._live and time.monotonic() - self._shown >= EVERY:
            self._shown = time.monotonic()
            turn = SPINNER[int(time.monotonic() * 4) % len(SPINNER)]
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\033[K{f'{turn} {text}'[:width]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take it away."""
        if self._live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def settle(self, text: str) -> None:
        """Replace it by a line that stays."""
        self.clear()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
