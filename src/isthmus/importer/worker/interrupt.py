"""What ends a worker early: SIGTERM (the Pod is deleted) and the deadline. Both are exceptions in the main thread.

They may come while it waits for the network, which nothing but a signal interrupts; so a signal's handler raises, once,
and clean-up afterwards is left in peace.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - the event is not an error
    """SIGTERM or the deadline came."""


@contextmanager
def interruptible(deadline: float | None) -> Iterator[None]:
    """Within the block, SIGTERM, SIGINT and the end of `deadline` seconds raise Interrupted, the first of them only."""
    pending = True

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal pending
        if pending:
            pending = False
            raise Interrupted(
                f"not done within {deadline:g} s" if number == signal.SIGALRM else "cancelled before it was done"
            )

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, deadline or 0)
    try:
        yield
    finally:
        pending = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
