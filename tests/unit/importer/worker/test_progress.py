"""Rates, percentages, and the status as it reaches an API server."""

import http.server
import json
import threading
from pathlib import Path

import pytest

from isthmus.importer.worker.progress import DiskState, Rate, Snapshot
from isthmus.importer.worker.status import Status


def test_the_rate_is_smoothed_and_tells_the_time_left():
    now = iter(range(100))
    rate = Rate(clock=lambda: next(now))
    assert rate.update(0) == 0
    assert rate.left(1000) is None
    assert rate.update(100) == 100
    assert 100 < rate.update(300) < 200
    assert rate.left(0) == 0
    assert rate.left(None) is None


def test_the_percentage_is_that_of_all_disks_and_reaches_100_only_when_done():
    disks = (DiskState("a", "v", source_bytes=50, source_size=100), DiskState("b", "w", source_size=100))
    assert Snapshot("Running", disks).percent == 25
    full = (DiskState("a", "v", source_bytes=100, source_size=100),)
    assert Snapshot("Running", full).percent == 99
    assert Snapshot("Succeeded", full).percent == 100
    assert Snapshot("Running", (DiskState("a", "v"),)).percent is None


@pytest.fixture
def api(tmp_path: Path):
    """A server that keeps what it is sent, and a kubeconfig for it."""
    received: list[tuple[str, str, dict]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            }
        )
    )
    yield kubeconfig, received
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_last_snapshot_reaches_the_status_of_the_import(api):
    kubeconfig, received = api
    status = Status(kubeconfig, "shop", "legacy")
    disk = DiskState("vmdisk1", "disk-1", "Running", 10, 20, 30, 40)
    status.report(Snapshot("Running", (disk,), 5.4, 1.6))
    status.report(Snapshot("Failed", (disk,), message="it broke"))
    status.close()
    path, kind, body = received[-1]
    assert path.split("?")[0] == "/apis/isthmus.dev/v1alpha1/namespaces/shop/virtualmachineimports/legacy/status"
    assert kind == "application/merge-patch+json"
    transfer = body["status"]["transfer"]
    assert transfer["phase"] == "Failed"
    assert transfer["message"] == "it broke"
    assert transfer["percent"] == 50
    assert transfer["disks"][0]["writtenBytes"] == 30


def test_a_status_that_cannot_be_written_is_told_and_harms_nothing(tmp_path: Path, capfd: pytest.CaptureFixture):
    status = Status(tmp_path / "missing", "shop", "legacy")
    status.report(Snapshot("Running", ()))
    status.close()
    assert "status of shop/legacy not written" in capfd.readouterr().err
