# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server: transport for the API, request log, and faults that concern whole requests."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import socket
import struct
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from lab.maas.api import ROOT, Api
from lab.maas.wire import TEXT, Response

_READING = ("GET", "HEAD", "OPTIONS")
_LONGEST_BODY = 64 * 1024 * 1024
_SHORT_BODY = 10_000


def _operation(encoded: str) -> str | None:
    values = parse_qs(encoded).get("op")
    return values[-1] if values else None


class RequestLog:
    """One JSON line per request. Authorization, query values and bodies never get into it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()

    def add(
        self, method: str, target: str, status: int, user_agent: str, op: str | None, fault: str | None = None
    ) -> None:
        """Append a request: `status` is what came of it, even where `fault` kept the answer back; 0: nobody looked.

        `op` as far as it is in the query or a form.
        """
        path, _, query = target.partition("?")
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": method,
            "path": path,
            "op": _operation(query) or op,
            "status": status,
            "writing": method not in _READING,
            "user_agent": user_agent,
        }
        if fault:
            line["fault"] = fault
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # an idle connection does not keep its thread for ever
    timeout = 120
    # head and body in one packet: in two, each answer waits 40 ms for the other side to acknowledge the first
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        agent = headers.get("user-agent", "")
        faults = self.server.api.region.faults
        if body is None or faults.down():
            self.close_connection = True
            self.server.log.add(self.command, self.path, 0, agent, None)
            self._hang_up()
            return
        op = _operation(body.decode(errors="replace")) if len(body) < _SHORT_BODY else None
        fault = faults.of_request(self.command, self.path, op) if self.path.startswith(ROOT) else None
        way = fault.way if fault else None
        if fault and way == "status":
            response = Response(fault.status, b"Service injected by a fault of the lab", TEXT, "server")
        elif way == "reset":
            response = None
        else:
            base_url = f"http://{headers.get('host', '')}"
            response = self.server.api.handle(self.command, self.path, headers, body, base_url)
        self.server.log.add(self.command, self.path, response.status if response else 0, agent, op, way)
        if response is None or way == "lost":
            self._reset()
            return
        if way == "truncate":
            response = dataclasses.replace(response, body=response.body[: len(response.body) // 2])
        elif fault and way == "stall":
            self.server.ending.wait(fault.seconds)
        self._send(response)

    def _body(self) -> bytes | None:
        """The body, or None when its length is no length that can be taken."""
        given = self.headers.get("Content-Length", "0")
        length = int(given) if given.isdigit() else _LONGEST_BODY + 1
        return self.rfile.read(length) if length <= _LONGEST_BODY else None

    def _hang_up(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            # the other side has gone already
            return

    def _reset(self) -> None:
        """Close the connection with RST, as a proxy does that has been killed."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.all_headers().items():
            self.send_header(name, value)
        with response.file.open("rb") if response.file else io.BytesIO(response.body) as body:
            self.send_header("Content-Length", str(body.seek(0, os.SEEK_END)))
            self.end_headers()
            if self.command != "HEAD":
                body.seek(0)
                shutil.copyfileobj(body, self.wfile)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the request log says it all, without secrets."""

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = _serve


class Server(ThreadingHTTPServer):
    """Binds at once; `serve_forever` answers.

    Args:
        address: host and port; port 0 takes a free one.
        api: what answers.
        log: where requests are noted.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], api: Api, log: RequestLog) -> None:
        self.api = api
        self.log = log
        self.ending = threading.Event()
        super().__init__(address, _Handler)

    def server_close(self) -> None:
        """Close the socket, and keep nobody waiting."""
        self.ending.set()
        super().server_close()
