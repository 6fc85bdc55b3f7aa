# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What firmware makes of MAAS's answers."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from lab.bmc import pxe

INSTALL = {
    "action": "install",
    "image": "custom/debian-12",
    "hostname": "node01",
    "instance_id": "abc",
    "user_data_b64": "dXNlcg==",
    "vendor_data_b64": "",
    "installed_url": "http://m/i",
    "token": "t",
}


def client(answer: Any) -> pxe.Client:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return pxe.Client("http://maas", lambda url, body: content)


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ({"action": "local"}, pxe.Local()),
        ({"action": "commission", "results_url": "http://m/r", "token": "t"}, pxe.Commission("http://m/r", "t")),
        (INSTALL, pxe.Install("custom/debian-12", "node01", "abc", b"user", b"", "http://m/i", "t")),
        (
            {**INSTALL, "user_data_b64": None},
            pxe.Install("custom/debian-12", "node01", "abc", b"", b"", "http://m/i", "t"),
        ),
        (
            {**INSTALL, "root": {"url": "http://m/images/1", "sha256": "12", "filetype": "root-tgz"}},
            pxe.Install(
                "custom/debian-12",
                "node01",
                "abc",
                b"user",
                b"",
                "http://m/i",
                "t",
                pxe.Root("http://m/images/1", "12", "root-tgz"),
            ),
        ),
    ],
)
def test_orders(answer: Any, order: object) -> None:
    assert client(answer).ask("52:54:00:00:00:21") == order


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        [],
        {},
        {"action": "dance"},
        {"action": "commission"},
        {**INSTALL, "user_data_b64": "***"},
        {**INSTALL, "root": {"url": "http://m/images/1"}},
        {key: value for key, value in INSTALL.items() if key != "token"},
    ],
)
def test_an_answer_without_sense_is_refused(answer: Any) -> None:
    with pytest.raises(pxe.Refused):
        client(answer).ask("52:54:00:00:00:21")


class _Handler(http.server.BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str, bytes]]] = []

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, body))
        self.send_response(int(self.path.rpartition("/")[2]) if self.path[-1].isdigit() else 200)
        self.end_headers()
        self.wfile.write(b'{"action": "local"}')

    do_GET = do_POST = _answer

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.seen.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


def test_over_http(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    firmware = pxe.Client(server)
    assert firmware.ask("52:54:00:00:00:aa") == pxe.Local()
    firmware.report(f"{server}/done", "tok", {"result": "installed"})
    assert [(method, path) for method, path, _ in _Handler.seen] == [
        ("GET", "/pxe/52:54:00:00:00:aa"),
        ("POST", "/done"),
    ]
    assert json.loads(_Handler.seen[1][2]) == {"token": "tok", "result": "installed"}


@pytest.mark.parametrize(("status", "error"), [(409, pxe.Refused), (404, pxe.Refused), (503, pxe.Unreachable)])
def test_refusals_and_troubles_are_told_apart(server: str, status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=str(status)):
        pxe.fetch(f"{server}/{status}", b"{}")


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(pxe.Unreachable):
        pxe.fetch("http://127.0.0.1:9/pxe", None)
