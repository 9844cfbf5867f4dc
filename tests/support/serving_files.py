"""A web server of files on this machine, for manifests at a URL: whole, in parts, cut off, or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Files:
    """The served bodies, and the requests for them."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    parts: bool = True
    """Whether ranges are served; else every answer is the whole file."""
    cut_at: int | None = None
    """Where the connection is closed although more was announced."""
    status: int | None = None
    """Answer everything with this status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    """Where paths lead to."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, and range of every request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Files

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        files, asked = self.files, self.headers.get("Range", "")
        files.asked.append((self.command, self.path, asked))
        data = files.bodies.get(self.path.partition("?")[0])
        led_to = files.redirects.get(self.path.partition("?")[0])
        status = files.status or (302 if led_to else 404 if data is None else 200)
        data = (data or b"") if status < 300 else b"no"
        headers = dict(files.headers) | ({"Location": led_to} if led_to else {})
        if asked and files.parts and status == 200:
            first, last = (int(one) for one in asked.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
            status, data = 206, data[first : last + 1]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data[: files.cut_at])
            self.wfile.flush()
            self.close_connection = files.cut_at is not None

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving_files(bodies: Mapping[str, bytes]) -> Iterator[Files]:
    """Serve bodies by their paths."""
    files = Files(bodies=dict(bodies))
    handler = type("Handler", (_Handler,), {"files": files})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    files.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="files")
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
