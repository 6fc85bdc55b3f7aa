# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the MAAS simulator share: a region behind HTTP, a client, a fake BMC, a played machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from lab.maas.api import Api
from lab.maas.faults import Faults
from lab.maas.power import NoDriver, PowerFailure
from lab.maas.region import Region, Roster
from lab.maas.server import RequestLog, Server
from lab.maas.settings import LabSettings
from lab.maas.state import Store
from lab.maas.transitions import Status

KEY = ("consumer", "token", "secret")
BOUND = 10.0
NETWORK = {"cidr": "198.18.7.0/24", "gateway": "198.18.7.1"}


@dataclass
class FakePower:
    """Power driver whose BMCs are a dictionary: address -> "on" or "off"; remembers what it was told.

    While `gate` is clear nothing is switched on; a `sticky` one does not switch off; `failure` is raised by all.
    """

    states: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    failure: PowerFailure | None = None
    sticky: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    on_power_on: Any = None

    def __post_init__(self) -> None:
        self.gate.set()

    def _address(self, parameters: dict[str, Any]) -> str:
        if self.failure:
            raise self.failure
        return str(parameters.get("power_address"))

    def knows(self, kind: str) -> bool:
        """Every power type, unless there is no rack controller."""
        return not isinstance(self.failure, NoDriver)

    def query(self, kind: str, parameters: dict[str, Any]) -> str:
        """The state; a BMC never heard of is off."""
        return self.states.setdefault(self._address(parameters), "off")

    def on(self, kind: str, parameters: dict[str, Any]) -> None:
        """Switch on."""
        address = self._address(parameters)
        assert self.gate.wait(BOUND)
        self.calls.append(("on", address))
        self.states[address] = "on"
        if self.on_power_on:
            self.on_power_on(address)

    def off(self, kind: str, parameters: dict[str, Any]) -> None:
        """Switch off; a sticky BMC says yes and does nothing."""
        address = self._address(parameters)
        self.calls.append(("off", address))
        if not self.sticky:
            self.states[address] = "off"


NO_RACK = NoDriver("no rack")


@dataclass
class Answer:
    """One answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """Body as JSON."""
        return json.loads(self.body)


def oauth(key: tuple[str, str, str], **override: str | None) -> str:
    """An Authorization header; parameters may be replaced, or left out with None."""
    parameters: dict[str, str | None] = {
        "oauth_version": "1.0",
        "oauth_signature_method": "PLAINTEXT",
        "oauth_consumer_key": key[0],
        "oauth_token": key[1],
        "oauth_signature": "%26" + key[2],
        "oauth_nonce": uuid.uuid4().hex,
        "oauth_timestamp": str(int(time.time())),
        **override,
    }
    return "OAuth " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value is not None)


def hmac_header(method: str, base_url: str, target: str, key: tuple[str, str, str]) -> str:
    """An Authorization header signed with HMAC-SHA1, as RFC 5849 has it."""
    path, _, query = target.partition("?")
    parameters = {
        "oauth_consumer_key": key[0],
        "oauth_token": key[1],
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(time.time())),
        "oauth_nonce": uuid.uuid4().hex,
        "oauth_version": "1.0",
    }
    pairs = sorted((quoted(k), quoted(v)) for k, v in [*parameters.items(), *parse_qsl(query)])
    normal = "&".join(f"{k}={v}" for k, v in pairs)
    base = "&".join(quoted(part) for part in (method, base_url + path, normal))
    digest = hmac.new(("&" + key[2]).encode(), base.encode(), hashlib.sha1).digest()
    signed = {**parameters, "oauth_signature": base64.b64encode(digest).decode()}
    return "OAuth " + ", ".join(f'{k}="{quoted(v)}"' for k, v in signed.items())


@dataclass
class World:
    """A region, its server, and a client that signs."""

    directory: Path
    region: Region
    server: Server
    power: FakePower
    key: tuple[str, str, str] = KEY

    def close(self) -> None:
        """End the server and its workers."""
        self.region.lifecycle.stop()
        self.server.shutdown()
        self.server.server_close()
        self.region.store.snapshot()

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """One exchange, headers exactly as given."""
        host, port = self.server.server_address[:2]
        connection = http.client.HTTPConnection(str(host), port, timeout=BOUND)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, *pairs: tuple[str, str], key: tuple[str, str, str] | None = None) -> Answer:
        """A signed request below /MAAS/api/2.0/; pairs are form fields."""
        headers = {"Authorization": oauth(key or self.key), "Accept": "application/json"}
        body = None
        if pairs or method in ("POST", "PUT"):
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(pairs).encode()
        return self.send(method, "/MAAS/api/2.0/" + path, headers, body)

    def get(self, path: str) -> Any:
        """JSON of a GET that must succeed."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    def post(self, path: str, *pairs: tuple[str, str]) -> Any:
        """JSON of a POST that must succeed."""
        answer = self.call("POST", path, *pairs)
        assert answer.status == 200, answer.text
        return answer.json

    def report(self, url_or_path: str, document: Any) -> Answer:
        """What a machine posts, unsigned."""
        path = url_or_path.partition("/MAAS/")
        target = "/MAAS/" + path[2] if path[1] else url_or_path
        return self.send("POST", target, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def pxe(self, mac: str) -> Any:
        """What a machine that starts from the network is told."""
        return self.send("GET", f"/pxe/{mac}", {}).json

    def create(self, name: str, number: int, *pairs: tuple[str, str], kind: str = "redfish") -> str:
        """Enrol a machine; its system_id."""
        fields = [
            ("architecture", "amd64/generic"),
            ("mac_addresses", mac_of(number)),
            ("hostname", name),
            ("power_type", kind),
            ("commission", "false"),
        ]
        if kind == "redfish":
            fields += [
                ("power_parameters_power_address", bmc_of(number)),
                ("power_parameters_power_user", "admin"),
                ("power_parameters_power_pass", "pw"),
            ]
        return str(self.post("machines/", *fields, *pairs)["system_id"])

    def machine(self, system_id: str) -> Any:
        """The machine as shown."""
        return self.get(f"machines/{system_id}/")

    def wait(self, what: Any, bound: float = BOUND) -> None:
        """Wait until a condition on the region's state holds; it is looked at after every change."""
        end = time.monotonic() + bound
        store = self.region.store
        with store.changed:
            while not what():
                left = end - time.monotonic()
                assert left > 0, "the condition did not come true in time"
                store.changed.wait(min(left, 0.1))

    def wait_status(self, system_id: str, status: Status, bound: float = BOUND) -> Any:
        """Wait until a machine has a status; the machine as shown then."""
        self.wait(lambda: self.region.store.machine(system_id)["status"] == status, bound)
        return self.machine(system_id)


def mac_of(number: int) -> str:
    """MAC of machine `number`."""
    return f"52:54:00:00:00:{number:02x}"


def bmc_of(number: int) -> str:
    """BMC address of machine `number`."""
    return f"https://198.18.7.{100 + number}"


def hardware_of(number: int) -> dict[str, Any]:
    """What machine `number` reports when it is commissioned."""
    return {
        "serial": f"FL{number:04d}",
        "macs": [mac_of(number)],
        "cpu_count": 8,
        "memory_mib": 16384,
        "gpus": 8,
        "storage_mb": 500000,
        "interfaces": [{"mac": mac_of(number), "address": f"198.18.7.{20 + number}/24"}],
    }


def roster(count: int) -> dict[str, Any]:
    """machines.json of a lab with `count` nodes."""
    return {
        "network": NETWORK,
        "machines": {
            f"node{n:02d}": {"name": f"node{n:02d}", "mac": mac_of(n), "address": f"198.18.7.{20 + n}"}
            for n in range(1, count + 1)
        },
    }


class Machine:
    """Plays the machine behind a BMC: whenever it is switched on, it starts from the network and does as it is told."""

    def __init__(self, world: World, number: int, exit_status: int = 0, install: str = "installed") -> None:
        self.world = world
        self.number = number
        self.exit_status = exit_status
        self.install = install
        self.disks: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []
        self.answers: list[Answer] = []

    def switched_on(self, address: str) -> None:
        """Hook of FakePower."""
        if address == bmc_of(self.number):
            threading.Thread(target=self._boot, daemon=True).start()

    def _boot(self) -> None:
        order = self.world.pxe(mac_of(self.number))
        self.seen.append(order)
        token = order.get("token")
        if order["action"] == "commission":
            hardware = hardware_of(self.number) | ({"disks": self.disks} if self.disks else {})
            report = {"token": token, "hardware": hardware, "exit_status": self.exit_status}
            self.answers.append(self.world.report(order["results_url"], report))
            self.world.power.states[bmc_of(self.number)] = "off"
        elif order["action"] == "install":
            result = {"token": token, "result": self.install, "error": "no disk"}
            self.answers.append(self.world.report(order["installed_url"], result))
            if self.install == "installed":
                self.answers.append(self.call_home(order))

    def call_home(self, order: dict[str, Any]) -> Answer:
        """phone_home of the deployed system."""
        return phone_home(self.world, order)


def phone_home(world: World, order: dict[str, Any]) -> Answer:
    """Do what the vendor data of an install order says."""
    config = json.loads(base64.b64decode(order["vendor_data_b64"]).decode().removeprefix("#cloud-config\n"))
    path = "/MAAS/" + config["phone_home"]["url"].partition("/MAAS/")[2]
    body = urlencode({"instance_id": order["instance_id"], "hostname": order["hostname"]}).encode()
    return world.send("POST", path, {"Content-Type": "application/x-www-form-urlencoded"}, body)


def make_world(directory: Path, power: FakePower, nodes: int = 4, **settings: Any) -> World:
    """A region on a directory, not yet serving."""
    (directory / "machines.json").write_text(json.dumps(roster(nodes)) if nodes else json.dumps({}), encoding="utf-8")
    path = directory / "machines.json"
    if not nodes:
        path.unlink()
    region = Region(
        Store(directory / "maas.json"),
        LabSettings(**settings),
        power,
        Roster(path),
        KEY,
        Faults(directory / "maas-faults.json"),
    )
    server = Server(("127.0.0.1", 0), Api(region), RequestLog(directory / "log" / "maas-requests.jsonl"))
    return World(directory, region, server, power)


def quoted(text: str) -> str:
    """Percent-encoded."""
    return quote(text, safe="~")
