"""An image's name as Kubernetes reads it: registry, path, tag, digest, with Docker's defaults filled in. Pure.

Grammar: distribution/reference. `nginx` is docker.io/library/nginx:latest.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from isthmus.engine.node.image.errors import invalid_name

_DOMAIN = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A full name. `tag` is empty if only a digest was given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The canonical text, e.g. docker.io/library/nginx:latest; with a digest that decides, not the tag."""
        return f"{self.domain}/{self.path}" + (f"@{self.digest}" if self.digest else f":{self.tag}")

    @property
    def repository(self) -> str:
        """Without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def on_loopback(self) -> bool:
        """Whether the registry is on this machine, where plain HTTP is allowed."""
        host = self.domain.rsplit(":", 1)[0] if not self.domain.endswith("]") else self.domain
        if host == "localhost":
            return True
        try:
            return ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False


def parse(image: str) -> Reference:
    """The reference that `image` names. Raises ImageError InvalidImageName."""
    text = image.strip()
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise invalid_name(f"{image!r}: the digest must be sha256: and 64 hexadecimal digits")
    rest, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise invalid_name(f"{image!r}: the tag must be 1 to 128 letters, digits, '_', '.' or '-'")
    domain, path = _split_domain(rest)
    if not _DOMAIN.fullmatch(domain):
        raise invalid_name(f"{image!r}: {domain!r} is no registry host")
    if not _PATH.fullmatch(path) or len(domain) + len(path) + 1 > _MAX_NAME:
        raise invalid_name(f"{image!r}: the repository must be lower case, e.g. registry.example.com/team/name:tag")
    return Reference(domain, path, tag or ("" if digest else "latest"), digest)


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash begins a tag; one before it is a registry's port."""
    head, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return head + slash + name, tag if colon else None


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, path = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        return "docker.io", text if slash else f"library/{text}"
    if first in ("docker.io", "index.docker.io"):
        return "docker.io", path if "/" in path else f"library/{path}"
    return first, path


def default_pull_policy(image: str) -> str:
    """Kubernetes' default: Always for :latest, else IfNotPresent."""
    reference = parse(image)
    return "Always" if not reference.digest and reference.tag == "latest" else "IfNotPresent"
