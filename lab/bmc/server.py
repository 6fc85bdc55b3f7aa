# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS in front of a Redfish service, with a log of every request."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from lab import files
from lab.bmc import faults
from lab.bmc.messages import Answer
from lab.bmc.places import SESSIONS
from lab.bmc.redfish import Service

_MOST_BYTES = 1 << 20
_IDLE_SECONDS = 30.0


class Server(ThreadingHTTPServer):
    """One machine's listener. Bound once it exists; serves in `serve_forever`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        address: tuple[str, int],
        service: Service,
        machine: str,
        tls: ssl.SSLContext,
        request_log: Path,
        untrusted: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.service = service
        self.machine = machine
        self.request_log = request_log
        self._tls = tls
        self._untrusted = untrusted
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service for the address's name and may wait long for nothing.
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        # The handshake is left to the handler's thread: a client that does not speak must not keep others out.
        connection, client = self.socket.accept()
        asked = self.service.board.asked
        if asked(faults.DOWN):
            connection.close()
            raise OSError("the BMC is down")
        connection.settimeout(_IDLE_SECONDS)
        tls = self._untrusted() if self._untrusted and asked(faults.UNTRUSTED) else self._tls
        return tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), client

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off, or does not trust the certificate, is no error of this server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "firstlight-bmc"
    sys_version = ""
    server: Server
    _reading: ClassVar[set[str]] = {"GET", "HEAD"}

    def _serve(self) -> None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = _MOST_BYTES + 1
        if not 0 <= length <= _MOST_BYTES:
            self.close_connection = True
            answer = Answer(413)
        else:
            answer = self.server.service.handle(self.command, self.path, self.headers, self.rfile.read(length))
        # Logged before it is answered: who has the answer finds the request in the log.
        self._log_answer(answer)
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("OData-Version", "4.0")
        if content:
            self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def _log_answer(self, answer: Answer) -> None:
        path = self.path.partition("?")[0]
        writing = self.command not in self._reading and not path.startswith(SESSIONS)
        entry = {
            "time": time.time(),
            "machine": self.server.machine,
            "method": self.command,
            "path": path,
            "op": answer.detail,
            "status": answer.status,
            "writing": writing,
            "user_agent": self.headers.get("User-Agent", ""),
        }
        with contextlib.suppress(OSError):
            files.append_json_line(self.server.request_log, entry)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests go to the request log instead."""
