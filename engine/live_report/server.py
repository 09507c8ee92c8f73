"""The server of a page that is watched: on this machine only, for reading only, with two addresses and no files.

    GET /        the page
    GET /state   a number that changes where the page does

A request must name this machine as its host. Otherwise another page in the browser could read this one by a name of its own that
leads here (DNS rebinding).
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rbflex_evo.engine.terminal.messages import say
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.errors import reason

from .page import LivePage

ADDRESS = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LiveServer(ThreadingHTTPServer):
    """Serves one page until it is closed; use it as a context manager.

    Args:
        page: The page.
        port: Port on 127.0.0.1; 0 takes any free one.

    Raises:
        ConfigError: If the port is in use or not allowed.
    """

    daemon_threads = True

    def __init__(self, page: LivePage, port: int = 0) -> None:
        self.page = page
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} of {ADDRESS} cannot be used: {error.strerror}; choose another by --port (0: any free one)"
            ) from error
        names = [ADDRESS, "localhost"]
        # A browser leaves out the port that http has by default.
        self.hosts = {f"{name}:{self.server_port}" for name in names} | set(names if self.server_port == 80 else [])

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says why a request failed, in one line; a browser that went away is no failure."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, OSError):
            say(f"failed: {reason(error)}")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; the base class refuses every other method."""

    server: LiveServer
    server_version = "rbflex-evo"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self.send_error(403, "this page is for this machine only")
            return
        if self.path == "/":
            kind, text = "text/html", self.server.page.html()
        elif self.path == "/state":
            kind, text = "text/plain", self.server.page.state()
        else:
            self.send_error(404)
            return
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Writes no line for each request."""
