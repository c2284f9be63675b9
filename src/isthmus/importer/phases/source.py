"""The source as a worker gets it: arguments without secrets, and volumes for everything else."""

from dataclasses import dataclass, field
from typing import Any

from isthmus.importer.phases.phase import Import, ImportFailedError

Object = dict[str, Any]
UPLOADED, SECRET, CERTIFICATES = "source", "source-secret", "source-certificates"  # names of volumes: the worker's too


@dataclass(frozen=True, slots=True)
class Source:
    """What a worker pod needs to read it; `volumes` as in a Pod's spec."""

    arguments: list[str]
    volumes: list[Object] = field(default_factory=list)


def find(work: Import) -> Source:
    """The source of an import. Raises ImportFailedError if the spec names none."""
    given = work.spec["source"]
    if given.get("upload") is not None:
        volume = {"name": UPLOADED, "persistentVolumeClaim": {"claimName": work.status.get("uploadClaimName") or ""}}
        shown = str(given["upload"].get("fileName") or "upload")
        return Source(["--source", f"volume:{UPLOADED}", "--shown-as", shown], [volume])
    if url := given.get("url"):
        volumes: list[Object] = []
        if secret := given.get("secretRef"):
            volumes.append({"name": SECRET, "secret": {"secretName": secret}})
        if certificates := given.get("certConfigMap"):
            volumes.append({"name": CERTIFICATES, "configMap": {"name": certificates}})
        return Source(["--source", str(url)], volumes)
    if path := given.get("path"):
        return Source(["--source", str(path)])
    raise ImportFailedError("spec.source: exactly one of path, url and upload must be given")
