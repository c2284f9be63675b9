"""What can be wrong with a machine.

MachineError      anything about one VM; `str()` is fit for a condition's message
  SpecError       the VMI asks for what cannot be
  DiskError       the node's file system does not take a disk
  ProcessError    QEMU did not start; holds the last lines that it wrote
  MonitorError    QEMU refused a command, or its monitor does not answer
"""


class MachineError(Exception):
    """The root. `reason` is a CamelCase word for conditions and events."""

    reason = "SyncFailed"


class SpecError(MachineError):
    """A field of the VMI that cannot be met here."""

    reason = "InvalidSpec"

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


class DiskError(MachineError):
    """A disk's file could not be made."""

    reason = "FailedMount"


class ProcessError(MachineError):
    """QEMU could not be started."""

    reason = "StartFailed"


class MonitorError(MachineError):
    """A command over QMP failed."""

    reason = "MonitorFailed"
