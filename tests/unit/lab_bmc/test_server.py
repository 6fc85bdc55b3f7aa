# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS in front of the service, on loopback, with certificates of the lab's own authority."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import pki
from lab.bmc.places import RESET, ROOT, SESSIONS, SYSTEM
from lab.bmc.redfish import Service
from lab.bmc.server import Server

from .world import BASIC, MACHINE, Client


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        authority = pki.Authority(tmp_path)
        authority.create("test")
        certificate, key = authority.issue("node01-bmc", "127.0.0.1", "bmc")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self.log = tmp_path / "requests.jsonl"
        service: Service = Client(tmp_path).service
        self.server = Server(("127.0.0.1", 0), service, MACHINE.name, tls, self.log)
        self.trust = ssl.create_default_context(cafile=str(authority.certificate_file))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        port = self.server.server_address[1]
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=self.trust)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {**BASIC, "User-Agent": "test", **headers})
        with connection.getresponse() as response:
            return response.status, response.read()

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_answers_are_json_and_logged(bench: Bench) -> None:
    status, body = bench.ask("GET", f"{SYSTEM}?$select=PowerState")
    assert (status, json.loads(body)["PowerState"]) == (200, "Off")
    (entry,) = bench.logged()
    assert {name: entry[name] for name in ("machine", "method", "path", "status", "writing", "user_agent")} == {
        "machine": "node01",
        "method": "GET",
        "path": SYSTEM,
        "status": 200,
        "writing": False,
        "user_agent": "test",
    }


def test_only_what_changes_the_machine_is_logged_as_writing(bench: Bench) -> None:
    bench.ask("POST", SESSIONS, {"UserName": "admin", "Password": "pass:word"})
    bench.ask("PATCH", SYSTEM, {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}})
    bench.ask("POST", RESET, {"ResetType": "On"})
    assert [(entry["writing"], entry["op"]) for entry in bench.logged()] == [
        (False, ""),
        (True, "Pxe Once"),
        (True, "On"),
    ]


def test_no_password_and_no_token_is_logged(bench: Bench) -> None:
    bench.ask("POST", SESSIONS, {"UserName": "admin", "Password": "pass:word"})
    text = bench.log.read_text()
    assert "pass:word" not in text
    assert BASIC["Authorization"] not in text


def test_head_has_no_body_and_an_error_has_one(bench: Bench) -> None:
    assert bench.ask("HEAD", ROOT) == (200, b"")
    status, body = bench.ask("GET", f"{ROOT}/nope")
    assert (status, "error" in json.loads(body)) == (404, True)


def test_a_body_beyond_measure_is_refused(bench: Bench) -> None:
    assert bench.ask("POST", RESET, None, **{"Content-Length": "999999999"})[0] == 413
    assert bench.ask("POST", RESET, None, **{"Content-Length": "-1"})[0] == 413


def test_a_client_that_does_not_speak_keeps_nobody_out(bench: Bench) -> None:
    with socket.create_connection(bench.server.server_address[:2]):
        assert bench.ask("GET", ROOT)[0] == 200


def test_a_stranger_does_not_trust_the_certificate(bench: Bench) -> None:
    bench.trust = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        bench.ask("GET", ROOT)
    bench.trust = ssl.create_default_context(cafile=str(bench.log.parent / "pki" / "ca.crt"))
    assert bench.ask("GET", ROOT)[0] == 200
