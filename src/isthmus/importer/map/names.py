"""Names that Kubernetes accepts, from names that people gave."""

import re
import unicodedata
from collections.abc import Container

LABEL = 63


def to_label(text: str, fallback: str = "vm", longest: int = LABEL) -> str:
    """A DNS-1123 label: lower-case letters, digits and dashes, beginning and ending with none of the latter."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    label = re.sub(r"[^a-z0-9]+", "-", plain)[:longest].strip("-")
    return label or fallback


def to_free_label(text: str, taken: Container[str], fallback: str = "vm") -> str:
    """The same, with a number behind it if the label is taken."""
    label = to_label(text, fallback)
    number = 2
    while label in taken:
        suffix = f"-{number}"
        label = to_label(text, fallback, LABEL - len(suffix)) + suffix
        number += 1
    return label
