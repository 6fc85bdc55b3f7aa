# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A read-only file server for package managers: ranges, ETag and If-Modified-Since, folders by their index.html."""

from __future__ import annotations

import email.utils
import http.server
import mimetypes
import os
import re
import shutil
import signal
import socket
import threading
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

PORT = 8080


def serve(root: Path, address: str, port: int) -> None:
    """Serves `root` until SIGTERM or SIGINT. Raises OSError when the address cannot be had."""
    server = Server(root, address, port)
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop that this very thread runs, so another has to call it.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"serving {root} on http://{address}:{server.server_port}/", flush=True)
    with server:
        server.serve_forever(poll_interval=0.1)


class Server(http.server.ThreadingHTTPServer):
    """Serves the files below `root`; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, address: str, port: int) -> None:
        self.root = root
        super().__init__((address, port), Handler)

    def server_bind(self) -> None:
        """Binds without asking a name server for the host's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server_version = "firstlight-upstream"
    timeout = 60
    server: Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        path = self._file()
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            if self._unchanged(etag, int(status.st_mtime)):
                self._head(HTTPStatus.NOT_MODIFIED, etag, status.st_mtime)
                return
            self._send(path, stream, status, etag, with_body)

    def _send(self, path: Path, stream: BinaryIO, status: os.stat_result, etag: str, with_body: bool) -> None:
        size = status.st_size
        wanted = self._range(size, etag, int(status.st_mtime))
        if wanted is not None and wanted[0] >= size:
            self._head(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, etag, status.st_mtime, {"Content-Range": f"bytes */{size}"}
            )
            return
        first, last = wanted or (0, size - 1)
        headers = {"Content-Type": mimetypes.guess_type(path.name)[0] or "application/octet-stream"}
        if wanted is not None:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        code = HTTPStatus.OK if wanted is None else HTTPStatus.PARTIAL_CONTENT
        self._head(code, etag, status.st_mtime, headers, last - first + 1)
        if with_body:
            stream.seek(first)
            self._copy(stream, last - first + 1)

    def _file(self) -> Path | None:
        """The file that the request names, None if there is none below the root."""
        asked = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        root = self.server.root.resolve()
        if "\0" in asked:
            return None
        path = (root / asked.lstrip("/")).resolve()
        if not path.is_relative_to(root):
            return None
        if path.is_dir():
            path = path / "index.html"
        return path if path.is_file() else None

    def _unchanged(self, etag: str, modified: int) -> bool:
        known = self.headers.get("If-None-Match")
        if known is not None:
            return known.strip() == "*" or etag in (item.strip().removeprefix("W/") for item in known.split(","))
        since = _timestamp(self.headers.get("If-Modified-Since"))
        return since is not None and modified <= since

    def _range(self, size: int, etag: str, modified: int) -> tuple[int, int] | None:
        """First and last byte asked for; None for the whole file, also when it is not the one that was begun with."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        if not match or match[0] == "bytes=-":
            return None
        begun = self.headers.get("If-Range")
        if begun is not None and begun.strip() != etag and _timestamp(begun) != modified:
            return None
        if not match[1]:
            return max(0, size - int(match[2])), size - 1
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        return (int(match[1]), last) if last >= int(match[1]) or int(match[1]) >= size else None

    def _head(
        self, code: HTTPStatus, etag: str, modified: float, headers: dict[str, str] | None = None, length: int = 0
    ) -> None:
        self.send_response(code)
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", email.utils.formatdate(modified, usegmt=True))
        self.send_header("Accept-Ranges", "bytes")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if code != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _copy(self, stream: BinaryIO, length: int) -> None:
        try:
            self.wfile.flush()
            if stream.seekable() and stream.tell() + length == os.fstat(stream.fileno()).st_size:
                shutil.copyfileobj(stream, self.wfile, 1 << 20)
                return
            while length and (block := stream.read(min(length, 1 << 20))):
                self.wfile.write(block)
                length -= len(block)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True


def _timestamp(text: str | None) -> int | None:
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp()) if text else None
    except ValueError:
        return None
