"""What the readers of disk formats and archives raise: one exception, which knows where in the input it was."""


class MalformedError(Exception):
    """The input breaks its format, or a limit. `offset` counts bytes from the start of what the reader was given."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset
