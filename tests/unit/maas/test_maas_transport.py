# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transport against real sockets on loopback: what breaks, how it is told apart, and what TLS accepts."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import urls
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request, TransportError
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.transport import OpenUrl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handle = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """A server on a free port of loopback whose answers a function writes."""

    def __init__(self, handle: Handle, context: ssl.SSLContext | None = None) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                handle(self)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # a client that hangs up is what some tests are about
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(handle: Handle, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(handle, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answer(status: int, body: bytes, **headers: str) -> Handle:
    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return handle


def get(url: str, timeout: float = 5.0) -> Request:
    return Request("GET", url, {"Accept": "application/json"}, None, timeout)


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 409, 500, 503])
def test_every_status_is_an_answer(serve: Callable[..., Server], status: int) -> None:
    server = serve(answer(status, b"body", X_Y="z"))
    got = OpenUrl()(get(server.url))
    assert (got.status, got.body, got.headers["x_y"]) == (status, b"body", "z")


def test_a_post_sends_its_form_even_if_empty(serve: Callable[..., Server]) -> None:
    seen: list[tuple[str, str | None, bytes]] = []

    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        length = request.headers["Content-Length"]
        seen.append((request.command, request.headers["Content-Type"], request.rfile.read(int(length))))
        del request.headers["Content-Length"]
        answer(200, b"{}")(request)

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = serve(handle).url
    OpenUrl()(Request("POST", url, form, b"", 5.0))
    OpenUrl()(Request("POST", url, form, b"a=1", 5.0))
    assert seen == [("POST", form["Content-Type"], b""), ("POST", form["Content-Type"], b"a=1")]


def test_a_redirect_is_an_answer_and_the_key_does_not_follow_it(serve: Callable[..., Server]) -> None:
    reached: list[str] = []
    other = serve(lambda request: reached.append(request.path))
    server = serve(answer(302, b"", Location=other.url))
    assert OpenUrl()(get(server.url)).status == 302
    assert reached == []


def test_the_environments_proxy_is_left_out(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.delenv("no_proxy", raising=False)
    assert OpenUrl()(get(serve(answer(200, b"x")).url)).body == b"x"


def test_the_systems_authorities_are_read_once(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    make_context = urls.make_context
    monkeypatch.setattr(urls, "make_context", lambda **given: made.append(given) or make_context(**given))
    transport, url = OpenUrl(), serve(answer(200, b"x")).url
    assert [transport(get(url)).body for _request in range(3)] == [b"x"] * 3
    assert len(made) == 1


def test_nobody_listening() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(TransportError, match="connection refused") as caught:
            OpenUrl()(get(url))
    assert not caught.value.sent and not caught.value.permanent


def test_a_server_that_stalls(serve: Callable[..., Server]) -> None:
    done = threading.Event()
    server = serve(lambda request: done.wait(10) and None)
    with pytest.raises(TransportError, match=r"no answer within 0\.2 s") as caught:
        OpenUrl()(get(server.url, timeout=0.2))
    done.set()
    assert caught.value.sent


def test_a_server_that_sends_drop_by_drop_is_cut_off(serve: Callable[..., Server]) -> None:
    stop = threading.Event()

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not stop.wait(0.02):
            request.wfile.write(b" " * (1 << 16))

    server = serve(drip)
    with pytest.raises(TransportError, match="did not end in time") as caught:
        OpenUrl()(get(server.url, timeout=0.5))
    stop.set()
    assert caught.value.sent


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"])
def test_a_connection_that_breaks(serve: Callable[..., Server], part: bytes) -> None:
    def cut(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(part)
        request.connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(TransportError, match="connection broke") as caught:
        OpenUrl()(get(serve(cut).url))
    assert caught.value.sent and not caught.value.permanent


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_is_verified_unless_told_otherwise(serve: Callable[..., Server], certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    url = serve(answer(200, b"x"), context).url
    with pytest.raises(TransportError, match="certificate is not trusted") as caught:
        OpenUrl()(get(url))
    assert caught.value.permanent and not caught.value.sent and "ca_file" in caught.value.remedy
    assert OpenUrl(ca_file=str(certificate))(get(url)).body == b"x"
    assert OpenUrl(validate_certs=False)(get(url)).body == b"x"


@pytest.mark.parametrize("option", ["ca_file", "client_cert", "client_key"])
def test_a_file_that_is_not_there_is_named(option: str) -> None:
    with pytest.raises(TransportError, match=rf"{option}: /no/such\.pem cannot be read") as caught:
        OpenUrl(**{option: "/no/such.pem"})
    assert caught.value.permanent
