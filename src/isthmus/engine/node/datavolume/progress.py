"""How far a transfer is, as JSON lines for the controller, which reads the Pod's log."""

import json
import sys
import time

EVERY = 1.0


class Progress:
    """Tells at most once a second. `total` is 0 while it is not known."""

    def __init__(self) -> None:
        self.total = 0
        self._told = 0.0

    def __call__(self, done: int) -> None:
        """`done` bytes of `total`."""
        now = time.monotonic()
        if now - self._told < EVERY or not self.total:
            return
        self._told = now
        sys.stdout.write(json.dumps({"percent": round(min(100.0, 100 * done / self.total), 1), "bytes": done}) + "\n")
        sys.stdout.flush()
