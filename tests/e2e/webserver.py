"""An HTTP server on loopback for one directory, with basic authentication and connections that break."""

import base64
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    """Files, with ranges; `/private/` wants user:secret, `/flaky/` breaks off after each megabyte."""

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        wanted = "Basic " + base64.b64encode(b"user:secret").decode()
        if parts[0] == "private" and self.headers.get("Authorization") != wanted:
            self.send_error(401)
            return
        path = Path(self.directory, parts[-1])
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", '"1"')
        self.end_headers()
        end = start + (1 << 20) if parts[0] == "flaky" else len(data)
        with contextlib.suppress(ConnectionError):  # a client that has seen enough
            self.wfile.write(data[start:end])
        if end < len(data):
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(directory: Path) -> Iterator[str]:
    """The server's URL. Call it in the network namespace where it shall listen."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
