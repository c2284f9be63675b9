"""Keeps the server's memory small: a collector that looks seldom at what stays, an allocator that gives back.

What the start has made stays for good, and requests make no cycles to speak of, so a full collection is rare and short.
Large answers leave free memory behind in glibc's heap, which it would keep: it is asked to return it now and then.
Called by `__main__`.
"""

import asyncio
import ctypes
import gc
import logging

log = logging.getLogger(__name__)
TRIM_SECONDS = 10.0
ARENAS = 2  # heaps for all threads together: each would keep what it once needed
_M_ARENA_MAX = -8  # malloc.h


def settle() -> None:
    """Call once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, ARENAS)


async def trim_forever() -> None:
    """Give free memory back to the system, in a thread: it takes milliseconds."""
    if (libc := _glibc()) is None:
        return
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        await asyncio.to_thread(libc.malloc_trim, 0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc (musl's allocator needs none of this)."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
