# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every cause of the catalogue: its fault put into the simulators of BMC and MAAS, and named by the triage.

Region, BMC and firmware are the lab's own, over HTTP and TLS; only the board has no operating system behind it. What is
asked of them is asked by the collection's own clients.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.boot import BOOT_CAUSES
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.boot import explain
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect as connect_maas
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.evidence import read_evidence
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.evidence import gather

from lab import faults, machines, network
from lab.bmc import faults as below
from lab.bmc import pxe
from lab.bmc.board import NETWORK
from lab.bmc.power import PowerOwner
from lab.bmc.redfish import Service
from lab.bmc.server import Server
from lab.engine import Engine, State
from lab.fault_kinds import KINDS
from lab.maas.power import RedfishDriver
from lab.maas.transitions import Status
from lab.machines import Bmc, Machine, Site
from lab.pki import Authority
from lab.site import Lab
from tests.unit.lab_bmc.world import Board
from tests.unit.lab_maas.world import KEY, World, make_world, phone_home

PATIENCE = 2.0  # seconds that MAAS waits for a machine here, and twice that for an installation
CAUSES = {kind.check: kind.name for kind in KINDS.values() if kind.check.startswith("boot.")}


class Hardware(Board):
    """A board that tells commissioning of one disk, and whose system calls home unless it does not start."""

    def inventory(self) -> dict[str, Any]:
        return {
            "serial": "FL0000N01",
            "macs": ["52:54:00:00:00:01"],
            "cpu_count": 8,
            "memory_mib": 16384,
            "interfaces": [{"mac": "52:54:00:00:00:01", "address": "198.18.7.21/24"}],
            "disks": [{"name": "nvme0n1", "size": 10**12, "serial": "FL0000N01-D0"}],
        }


class Rack:
    """One machine with its BMC, and the MAAS that it belongs to."""

    def __init__(self, lab: Lab, world: World) -> None:
        self.lab, self.world = lab, world
        self.board = Hardware(disk=False)
        authority = Authority(lab.directory)
        authority.create("test")
        crt, key = authority.issue("node01-bmc", "127.0.0.1", "bmc-node01")
        asked = below.of(lab.directory, "node01")
        host, port = world.server.server_address[:2]
        self.owner = PowerOwner(
            self.board,
            pxe.Client(f"http://{host!s}:{port}"),
            "52:54:00:00:00:01",
            lab.directory / "bmc" / "node01.json",
            lambda text: None,
            0.05,
            asked,
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(crt, key)
        machine = Machine(
            "node01",
            "node",
            "FL0000N01",
            "r1",
            1,
            "52:54:00:00:00:01",
            "198.18.7.21",
            8,
            8,
            Bmc("127.0.0.1", 0, "admin", "pass:word"),
        )
        machines.save(lab.directory, Site(machines.Network("198.18.7.0/24", "198.18.7.1", "fl"), {"node01": machine}))
        service = Service(machine, self.owner, asked=asked, first=NETWORK)
        self.server = Server(("127.0.0.1", 0), service, "node01", tls, lab.directory / "log" / "bmc", self._stranger)
        for run in (self.owner.run, self.server.serve_forever):
            threading.Thread(target=run, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.system_id = ""

    def _stranger(self) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        stem = self.lab.directory / "stranger" / "pki" / "bmc-node01"
        tls.load_cert_chain(f"{stem}.crt", f"{stem}.key")
        return tls

    def enrol(self) -> None:
        self.system_id = self.world.post(
            "machines/",
            ("architecture", "amd64/generic"),
            ("mac_addresses", "52:54:00:00:00:01"),
            ("hostname", "node01"),
            ("power_type", "redfish"),
            ("commission", "false"),
            ("power_parameters_power_address", f"https://{self.address}"),
            ("power_parameters_power_user", "admin"),
            ("power_parameters_power_pass", "pass:word"),
        )["system_id"]

    def order(self, operation: str) -> None:
        """Have MAAS do something, and wait until it is settled."""
        self.world.call("POST", f"machines/{self.system_id}/?op={operation}", ("comment", "test"))
        under_way = (Status.COMMISSIONING, Status.DEPLOYING)
        self.world.wait(lambda: self._status() not in under_way, 30)

    def _status(self) -> int:
        machine = self.world.region.store.machine(self.system_id)
        assert machine is not None
        return int(machine["status"])

    def triage(self, silent: bool = False) -> Finding:
        host, port = self.world.server.server_address[:2]
        options = {
            "url": f"http://{host!s}:{port}/MAAS",
            "api_key": ":".join(KEY),
            "api_key_file": None,
            "ca_file": None,
            "validate_certs": True,
            "request_timeout": 10,
            "use_proxy": False,
        }
        known = read_evidence(connect_maas(options), [self.system_id])[self.system_id]
        told = gather(
            lambda: connect(
                {
                    "address": self.address,
                    "user": "admin",
                    "password": "pass:word",
                    "ca_file": str(self.lab.directory / "pki" / "ca.crt"),
                    "validate_certs": True,
                    "request_timeout": 5,
                },
                reading=True,
            ),
            known.pop("boot_mac", ""),
        )
        evidence = {name: {**told.get(name, {}), **known.get(name, {})} for name in {*told, *known}}
        evidence["limits"] = {"post_seconds": PATIENCE / 2}
        if silent:
            evidence["ssh"] = {"answers": False, "error": "connection refused"}
        return explain(evidence)

    def close(self) -> None:
        self.owner.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rack]:
    lab = Lab("test", tmp_path)
    lab.directory.mkdir(parents=True)
    for name in ("unplug", "plug"):
        monkeypatch.setattr(network, name, lambda *arguments: None)
    monkeypatch.setattr(Engine, "kill", lambda self, name: None)
    monkeypatch.setattr(Engine, "state", lambda self, name: State(False))
    power = RedfishDriver(lab.directory / "pki" / "ca.crt", timeout=5)
    world = make_world(lab.directory, power, nodes=1)  # type: ignore[arg-type]
    (lab.directory / "maas-faults.json").write_text(json.dumps({"patience": PATIENCE}), encoding="utf-8")
    threading.Thread(target=world.server.serve_forever, args=(0.02,), daemon=True).start()
    one = Rack(lab, world)
    one.enrol()
    yield one
    one.close()
    world.close()


def _commission(rack: Rack) -> None:
    rack.order("commission")
    assert rack.world.machine(rack.system_id)["status_name"] == "Ready"
    deadline = time.monotonic() + 10
    while rack.owner.state.power != "Off":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _deployed(rack: Rack) -> None:
    """The disk is written, and its system calls home."""
    _commission(rack)
    thread = threading.Thread(target=rack.order, args=("deploy",))
    thread.start()
    deadline = time.monotonic() + 10
    while not rack.board.installed:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    order = rack.board.installed[0]
    phone_home(
        rack.world,
        {
            "vendor_data_b64": base64.b64encode(order.vendor_data).decode(),
            "instance_id": order.instance_id,
            "hostname": order.host_name,
        },
    )
    thread.join(30)
    assert rack.world.machine(rack.system_id)["status_name"] == "Deployed"


def test_every_cause_has_a_fault_of_the_lab() -> None:
    assert {*CAUSES, "boot.unexplained"} == {cause.id for cause in BOOT_CAUSES}


# What comes before the fault, and what fails with it.
DEPLOYS = ("boot.no_disk", "boot.clock", "boot.certificate")


@pytest.mark.parametrize("check", CAUSES)
def test_the_fault_is_named(rack: Rack, check: str) -> None:
    def inject() -> None:
        faults.inject(rack.lab, "node01", CAUSES[check], {})

    if check == "boot.no_ssh":
        inject()
        _deployed(rack)
        found = rack.triage(silent=True)
    elif check == "boot.disk_changed":
        _commission(rack)
        inject()
        _commission(rack)
        rack.order("deploy")
        found = rack.triage()
    elif check in DEPLOYS:
        _commission(rack)
        inject()
        rack.order("deploy")
        found = rack.triage()
    else:
        inject()
        rack.order("commission")
        found = rack.triage()
    assert (found.check, found.verdict.value) == (check, "fail"), (found.summary, found.evidence)
    assert found.remedy and found.owner

    assert faults.heal(rack.lab, "node01") == [CAUSES[check]]
    assert below.of(rack.lab.directory, "node01")(CAUSES[check]) == 0
    content = json.loads((rack.lab.directory / "maas-faults.json").read_text(encoding="utf-8"))
    assert not content.get("machine")
