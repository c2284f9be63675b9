"""What the kernel lets one process have."""

import resource

OPEN_FILES = 65536


def raise_open_files(most: int = OPEN_FILES) -> None:
    """Let this process, and those that it starts, have as many open files as they may, but no absurd number.

    The usual 1024 are for programs that call select(); an agent holds some four for each machine.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
