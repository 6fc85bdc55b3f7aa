# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent and what runs while a playbook runs: an HTTP proxy before a server, and every command line."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAUSE = 0.1  # seconds between two looks at the process table
TIMEOUT = 120


@dataclass(frozen=True)
class Sent:
    """One request as it was sent."""

    target: str
    headers: dict[str, str]
    body: bytes


@contextlib.contextmanager
def recording(host: str, port: int) -> Iterator[tuple[int, list[Sent]]]:
    """A proxy on loopback before the server at host:port; gives its port and the requests that came through it."""
    sent: list[Sent] = []

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            sent.append(Sent(self.path, dict(self.headers), body))
            server = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
            server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("date", "server", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            server.close()

        def log_message(self, format: str, *args: Any) -> None:
            """Silent: the caller has the requests."""

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy.server_address[1], sent
        finally:
            proxy.shutdown()
            thread.join()


@contextlib.contextmanager
def watching_command_lines() -> Iterator[set[bytes]]:
    """The command lines of every process that is seen meanwhile, those in containers of this machine too."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(PAUSE):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    seen.add(path.read_bytes().replace(b"\0", b" "))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
