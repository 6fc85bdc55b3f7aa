# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redfish driver against a BMC behind real TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.maas.power import NoDriver, PowerFailure, RedfishDriver

SYSTEM = "/redfish/v1/Systems/1"


class _Bmc(ThreadingHTTPServer):
    """Answers as a Redfish service does; `exchanges` is what it was told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = "Off"
        self.boot: dict[str, str] = {}
        self.exchanges: list[tuple[str, str, Any]] = []
        self.refuse: int | None = None
        self.off_takes = 0
        self.goes_off_by_itself = False
        self.changing = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Bmc

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("ETag", '"7"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Basic YWRtaW46cHc=":
            return self._answer(401, {})
        if self.server.refuse:
            return self._answer(self.server.refuse, {})
        if self.path == "/redfish/v1/Systems":
            return self._answer(200, {"Members": [{"@odata.id": SYSTEM}]})
        if self.server.off_takes and self.server.state == "PoweringOff":
            self.server.off_takes -= 1
            if not self.server.off_takes:
                self.server.state = "Off"
        return self._answer(200, {"PowerState": self.server.state, "Boot": self.server.boot})

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def do_PATCH(self) -> None:
        body = self._body()
        if self.server.changing:
            self.server.changing -= 1
            return self._answer(412, {})
        self.server.exchanges.append(("PATCH", self.path, body))
        assert self.headers["If-Match"] == '"7"'
        self.server.boot = body["Boot"]
        return self._answer(200, {})

    def do_POST(self) -> None:
        body = self._body()
        self.server.exchanges.append(("POST", self.path, body["ResetType"]))
        if self.server.goes_off_by_itself:
            self.server.state = "Off"
            return self._answer(409, {})
        if body["ResetType"] == "On":
            self.server.state = "On"
        else:
            self.server.state = "PoweringOff" if self.server.off_takes else "Off"
        return self._answer(200, {})

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def _authority(folder: Path) -> None:
    """Write ca.crt and the bmc.pem that it signed."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    usage = {
        "digital_signature": False,
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "encipher_only": False,
        "decipher_only": False,
    }

    def certificate(name: x509.Name, public: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(ca_name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        for extension in (*extensions, identifier, x509.SubjectKeyIdentifier.from_public_key(public)):
            builder = builder.add_extension(extension, critical=extension in extensions)
        return builder.sign(ca_key, hashes.SHA256())

    constraints = x509.BasicConstraints(ca=True, path_length=None)
    ca = certificate(
        ca_name, ca_key.public_key(), constraints, x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage)
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = certificate(name, key.public_key(), address)
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "bmc.pem").write_bytes(leaf.public_bytes(pem) + private)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt and the BMC's bmc.pem."""
    folder = tmp_path_factory.mktemp("pki")
    _authority(folder)
    return folder


@pytest.fixture
def bmc(authority: Path) -> Iterator[_Bmc]:
    """A running BMC."""
    server = _Bmc()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "bmc.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def driver(authority: Path) -> RedfishDriver:
    """The driver, with short bounds."""
    return RedfishDriver(authority / "ca.crt", timeout=5, off_within=5)


def _parameters(bmc: _Bmc, password: str = "pw") -> dict[str, Any]:
    port = bmc.server_address[1]
    return {"power_address": f"https://127.0.0.1:{port}", "power_user": "admin", "power_pass": password}


def test_query(bmc: _Bmc, driver: RedfishDriver) -> None:
    for state, meaning in {"On": "on", "Off": "off", "PoweringOn": "off", "PoweringOff": "on"}.items():
        bmc.state = state
        assert driver.query("redfish", _parameters(bmc)) == meaning


def test_on_boots_from_the_network_once(bmc: _Bmc, driver: RedfishDriver) -> None:
    driver.on("redfish", _parameters(bmc))
    pxe = {"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}}
    reset = f"{SYSTEM}/Actions/ComputerSystem.Reset"
    assert bmc.exchanges == [("PATCH", SYSTEM, pxe), ("POST", reset, "On")]


def test_on_switches_a_running_machine_off_first(bmc: _Bmc, driver: RedfishDriver) -> None:
    bmc.state, bmc.off_takes = "On", 2
    driver.on("redfish", _parameters(bmc))
    assert [what for _, _, what in bmc.exchanges if isinstance(what, str)] == ["ForceOff", "On"]
    assert bmc.state == "On"


def test_off_leaves_a_machine_that_is_off_alone(bmc: _Bmc, driver: RedfishDriver) -> None:
    driver.off("redfish", _parameters(bmc))
    assert bmc.exchanges == []
    bmc.state = "On"
    driver.off("redfish", _parameters(bmc))
    assert [what for _, _, what in bmc.exchanges] == ["ForceOff"]


def test_a_machine_that_goes_off_by_itself_meanwhile(bmc: _Bmc, driver: RedfishDriver) -> None:
    bmc.state, bmc.goes_off_by_itself = "On", True
    driver.off("redfish", _parameters(bmc))
    assert bmc.state == "Off"


def test_a_machine_that_changes_between_reading_and_writing(bmc: _Bmc, driver: RedfishDriver) -> None:
    bmc.changing = 2
    driver.on("redfish", _parameters(bmc))
    assert bmc.state == "On"
    bmc.state, bmc.changing = "Off", 3
    with pytest.raises(PowerFailure, match="412"):
        driver.on("redfish", _parameters(bmc))


def test_a_wrong_password_and_a_broken_bmc(bmc: _Bmc, driver: RedfishDriver) -> None:
    with pytest.raises(PowerFailure, match="401"):
        driver.query("redfish", _parameters(bmc, "wrong"))
    bmc.refuse = 503
    with pytest.raises(PowerFailure, match="503"):
        driver.query("redfish", _parameters(bmc))
    bmc.refuse, bmc.state = None, "Bewildered"
    with pytest.raises(PowerFailure, match="Bewildered"):
        driver.query("redfish", _parameters(bmc))


def test_a_machine_that_stays_on(bmc: _Bmc, authority: Path) -> None:
    bmc.state, bmc.off_takes = "On", 10**6
    with pytest.raises(PowerFailure, match="still on"):
        RedfishDriver(authority / "ca.crt", off_within=0).on("redfish", _parameters(bmc))


def test_nobody_there(driver: RedfishDriver) -> None:
    parameters = {"power_address": "https://127.0.0.1:1", "power_user": "u", "power_pass": "p"}
    with pytest.raises(PowerFailure, match="failed"):
        driver.query("redfish", parameters)


def test_a_certificate_of_somebody_else(bmc: _Bmc, tmp_path: Path) -> None:
    _authority(tmp_path)
    with pytest.raises(PowerFailure, match="certificate"):
        RedfishDriver(tmp_path / "ca.crt").query("redfish", _parameters(bmc))
    with pytest.raises(PowerFailure, match=r"no\.crt"):
        RedfishDriver(tmp_path / "no.crt").query("redfish", _parameters(bmc))


def test_only_redfish(driver: RedfishDriver) -> None:
    with pytest.raises(NoDriver):
        driver.query("ipmi", {})
