"""A server whose disk is full: it says so, still reads, and writes again once there is room."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CM = "/api/v1/namespaces/default/configmaps"
SIZE = 12 << 20  # bytes: what a new home takes, and a little
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """The home lies on a small file system of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


async def test_a_full_disk_is_told_by_507_and_health_and_freeing_it_heals(api, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("isthmus.engine.store.writer.RETRY_SECONDS", 0.05)
    await api("POST", CM, {"metadata": {"name": "kept"}}, code=201)
    fill = tmp_path / "fill"
    with fill.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while file.write(b"x" * 4096):
            pass
    large = {"data": {"x": "y" * 500_000}}
    refused = await api("POST", CM, {"metadata": {"name": "lost"}} | large, code=507)
    assert refused["kind"] == "Status" and refused["reason"] == "InsufficientStorage"
    assert "disk is full" in refused["message"]
    for endpoint in ("livez", "readyz", "healthz"):
        assert "[-]etcd failed" in await api("GET", f"/{endpoint}", code=500)
    several = await asyncio.gather(*(api("PATCH", f"{CM}/kept", large, content_type=MERGE) for _ in range(5)))
    assert {status for status, _ in several} == {507}
    assert [c["metadata"]["name"] for c in (await api("GET", CM, code=200))["items"]] == ["kept"]
    await api("GET", f"{CM}/lost", code=404)
    fill.unlink()
    async with asyncio.timeout(5):
        while (await api("GET", "/livez"))[0] != 200:
            await asyncio.sleep(0.02)
    await api("POST", CM, {"metadata": {"name": "lost"}} | large, code=201)


MERGE = "application/merge-patch+json"
