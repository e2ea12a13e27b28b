"""A file server that stands where the recorded Label Studio stood, and the application before it."""

import base64
import io
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import numpy as np

DATA = Path(__file__).parent / "data"
RECORDED_PORT = 8189
RECORDED = f"http://127.0.0.1:{RECORDED_PORT}"


class MediaServer(ThreadingHTTPServer):
    """Serves the recorded media under Label Studio's addresses, and whatever a test adds to ``pages``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: MediaServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        parts = urlsplit(self.path)
        name = Path(parse_qs(parts.query).get("d", [parts.path])[0]).name.rsplit("-", 1)[-1]
        media = DATA / "media" / name
        if self.path in self.server.pages:
            status, headers, body = self.server.pages[self.path]
        elif parts.path.startswith("/data/") and media.is_file():
            status, headers, body = 200, {}, media.read_bytes()
        else:
            status, headers, body = 404, {"Content-Type": "text/plain"}, b"not found"
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def recorded(name: str, server: MediaServer) -> dict[str, Any]:
    """Return a recorded request: method, path, headers and json."""
    text = (DATA / "requests" / f"{name}.json").read_text()
    request: dict[str, Any] = json.loads(text.replace(RECORDED, server.url))
    return request


@dataclass
class Reply:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    errors: str = field(repr=False, default="")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    application: Any,
    method: str,
    path: str,
    body: object = None,
    *,
    auth: str | None = None,
    raw: bytes | None = None,
    headers: dict[str, Any] | None = None,
) -> Reply:
    """Send one request through the WSGI protocol, which is checked on both sides."""
    data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    errors = io.StringIO()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": errors,
        **(headers or {}),
    }
    if auth is not None:
        environ["HTTP_AUTHORIZATION"] = "Basic " + base64.b64encode(auth.encode()).decode()
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], error: object = None) -> Any:
        started.append((status, fields))
        return lambda written: None

    chunks = validator(application)(environ, start_response)
    content = b"".join(chunks)
    chunks.close()
    ((status, fields),) = started
    number, _, reason = status.partition(" ")
    return Reply(int(number), reason, dict(fields), content, errors.getvalue())


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())
