"""What became of one converter's attempt."""

from dataclasses import dataclass, field
from typing import Any

from isthmus.importer.convert.decide import Converter, Verdict

Object = dict[str, Any]
LOG_KEPT = 4000  # characters of a log's end in the status


@dataclass(frozen=True, slots=True)
class Attempt:
    """`facts` are for status.conversion if it converted; `dirty` disks must be copied again if it did not."""

    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0
    log: str = ""
    dirty: bool = False
    facts: Object = field(default_factory=dict)

    def note(self, converter: Converter) -> Object:
        """For status.conversion.attempts."""
        note: Object = {"converter": converter.value, "verdict": self.verdict.value, "reason": self.reason}
        return note | {"seconds": round(self.seconds, 1)} | ({"log": self.log[-LOG_KEPT:]} if self.log else {})
