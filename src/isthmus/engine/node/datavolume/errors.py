"""What a transfer may fail with, beside what the image itself is refused for."""


class TransferError(Exception):
    """The source cannot be read, or is not what was asked for. `str()` is fit for a person."""
