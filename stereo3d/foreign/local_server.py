"""A server of pages for this computer's user alone: of `stereo3d tune` and `stereo3d app`.

It listens on the loopback address, requires a secret in the path, refuses other host names (rebinding) and requests of
other pages, and bounds connections, requests and bodies. Who may ask is decided here; what is answered, by a
`LocalHandler`.
"""

import contextlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, BinaryIO

from ..errors import StereoError

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")  # by which a request may name this computer
MAX_CONNECTIONS = 64  # at once; a browser opens six
MAX_RATE = 200  # requests a second: twenty tabs ask for some fifty
CHUNK = 1 << 20  # bytes that are copied at a time
MAX_UNREAD = 64 << 20  # bytes of a refused body that are read away, so that its sender reads the reply
UNREAD_WAIT = 1.0  # s to wait for more of it


class LocalServer(ThreadingHTTPServer):
    """A server on the loopback address; `serve_forever` runs it.

    Parameters
    ----------
    handler : type
        A `LocalHandler`.
    port : int
        0 for any free port.
    host : str
        Address to listen on. Another than the loopback address is for a container, whose ports the outside reaches
        only where they are published; the names that a request may give stay those of the loopback address.

    Raises
    ------
    StereoError
        "unwritable" where the port is taken.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, handler: type["LocalHandler"], port: int = 0, host: str = LOOPBACK) -> None:
        self.secret = secrets.token_urlsafe(16)
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._rate, self._rate_lock = (
            [0.0, 0.0],
            threading.Lock(),
        )  # (time of the last request, how many wait to expire)
        try:
            super().__init__((host, port), handler)
        except OSError as error:
            raise StereoError(
                "unwritable",
                f"port {port} of {host} cannot be opened ({error.strerror}).",
                "Leave --port out to use a free one.",
            ) from error

    def server_bind(self) -> None:
        """Open the port, without the look-up of the computer's name that http.server makes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def address(self) -> str:
        """URL of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.secret}/"

    def too_often(self) -> bool:
        """Count a request; return whether there were more than `MAX_RATE` in a second."""
        with self._rate_lock:
            now, (last, count) = time.monotonic(), self._rate
            count = max(0.0, count - (now - last) * MAX_RATE) + 1
            self._rate = [now, count]
            return count > MAX_RATE

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own; drop the connection where too many are open."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next connection in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser may leave in the middle of an answer."""


class LocalHandler(BaseHTTPRequestHandler):
    """Answer one request to a `LocalServer`: `get` and `post` are called for requests of its own pages only."""

    server: LocalServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version, protocol_version = "stereo3d", "", "HTTP/1.1"
    timeout = 60  # s without a byte

    def get(self, path: str) -> None:
        """Answer a GET of a path below the secret: "" is the page."""
        raise NotImplementedError

    def post(self, path: str) -> None:
        """Answer a POST."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer where the request is allowed."""
        self._answer(self.get)

    def do_POST(self) -> None:
        """Answer where the request is allowed."""
        self._answer(self.post)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _answer(self, how: Any) -> None:
        self._read = 0
        head, found, path = self.path[1:].partition("/")
        if self.server.too_often():
            self.refuse(429, "too many requests; wait a second")
        elif not self._is_local():
            self.refuse(403, "only pages of this server may ask")
        elif not found or not hmac.compare_digest(head.encode(), self.server.secret.encode()):
            self.refuse(404, "there is nothing here")
        else:
            how(path)

    def _is_local(self) -> bool:
        """Whether the request names this computer as its host, and comes from no page of another origin."""
        hosts = [f"{name}:{self.server.server_port}" for name in NAMES]
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in hosts and origin in (None, *(f"http://{host}" for host in hosts))

    @property
    def body_length(self) -> int | None:
        """Bytes of the body as the request states them; None where it does not, or not as a number."""
        length = self.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else None

    def read_json(self, max_bytes: int) -> Any:
        """Return the body of the request, JSON of at most `max_bytes`.

        Raises
        ------
        ValueError
            For another kind, a body that is too long, and what is no JSON.
        """
        kind, length = self.headers.get("Content-Type", "").split(";")[0].strip().lower(), self.body_length
        if kind != "application/json" or length is None or length > max_bytes:
            raise ValueError(f"the request must be JSON of at most {max_bytes} bytes")
        self._read = length
        try:
            return json.loads(self.rfile.read(length))
        except (ValueError, RecursionError) as error:
            raise ValueError("the body is no JSON") from error

    def copy_body(self, file: BinaryIO) -> None:
        """Copy the body of the request into a file, in pieces.

        Raises
        ------
        ConnectionError
            Where the body ends before its stated length.
        """
        left = self.body_length or 0
        while left:
            piece = self.rfile.read(min(left, CHUNK))
            if not piece:
                raise ConnectionError(f"{left} bytes are missing")
            file.write(piece)
            left -= len(piece)
            self._read += len(piece)

    def refuse(self, status: int, reason: str) -> None:
        """Send {"error": reason}."""
        left = min((self.body_length or 0) - self._read, MAX_UNREAD)
        if left > CHUNK and self.headers.get("Expect", "").lower() != "100-continue":
            with contextlib.suppress(OSError):
                self.connection.settimeout(UNREAD_WAIT)
                while left > 0 and (piece := self.rfile.read(min(left, CHUNK))):
                    left -= len(piece)
        self.send(status, json.dumps({"error": reason}).encode())

    def send(
        self, status: int, data: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send text; headers: further ones, or others than the usual."""
        self._head(status, len(data), f"{kind}; charset=utf-8", headers)
        self.wfile.write(data)

    def send_file(self, path: Path, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a file in pieces; nothing is read at once that may be large."""
        with open(path, "rb") as file:
            left = path.stat().st_size
            self._head(200, left, kind, headers)
            while left > 0 and (piece := file.read(min(left, CHUNK))):
                self.wfile.write(piece)
                left -= len(piece)

    def _head(self, status: int, length: int, kind: str, headers: Mapping[str, str] | None) -> None:
        self.send_response(status)
        usual = {
            "Content-Type": kind,
            "Content-Length": str(length),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Connection": "close",
        }
        for name, value in {**usual, **(headers or {})}.items():
            self.send_header(name, value)
        self.close_connection = True
        self.end_headers()
