# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role bmc as Ansible runs it, over HTTPS against simulated BMCs: what it changes, refuses and never shows."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import pki
from lab.bmc.places import TEST_EVENT
from lab.bmc.server import Server
from tests.e2e.leaks import Search, Secret
from tests.unit.lab_bmc.world import MACHINE
from tests.unit.lab_bmc.world import Client as Simulated

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "pass:word"
NEW_PASSWORD = "quite-another-word"
TASK = "{ansible.builtin.import_role: {name: firstlight.cluster.bmc, tasks_from: POINT, rolespec_validate: true}}"

SHOW = (
    "{ansible.builtin.copy: {content: '{{ bmc_machine }}', dest: '%s/{{ inventory_hostname }}.out', mode: '0600'},"
    " no_log: true}"
)


@dataclass
class Result:
    code: int
    text: str
    recap: dict[str, Any]


class Site:
    """Two nodes, each with a BMC that listens on a port of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        authority = pki.Authority(path)
        authority.create("test")
        certificate, key = authority.issue("bmc", "127.0.0.1", "bmc")
        self.ca = authority.certificate_file
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self.bmcs: dict[str, Simulated] = {}
        self.servers: list[Server] = []
        for name in ("node01", "node02"):
            bmc = Simulated(path / name)
            server = Server(("127.0.0.1", 0), bmc.service, name, tls, path / "requests.jsonl")
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            self.bmcs[name] = bmc
            self.servers.append(server)

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def written(self) -> list[str]:
        log = self.path / "requests.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [entry["path"].rpartition("/")[2] for entry in map(json.loads, lines) if entry["writing"]]

    def run(self, *options: str, point: str = "main", password: str = PASSWORD, **variables: Any) -> Result:
        hosts = {
            name: {"bmc_address": f"https://127.0.0.1:{server.server_address[1]}"}
            for name, server in zip(self.bmcs, self.servers, strict=True)
        }
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "bmc_user": "admin",
            "bmc_in_service": False,
            "bmc_ca_file": str(self.ca),
            "bmc_password": password,
            "bmc_new_password": NEW_PASSWORD,
        }
        (self.path / "hosts.yml").write_text(json.dumps({"gpu_nodes": {"hosts": hosts, "vars": common}}))
        tasks = [TASK.replace("POINT", point)]
        if point == "enrol":
            tasks.append(SHOW % self.path)
        (self.path / "play.yml").write_text(f"- {{hosts: gpu_nodes, gather_facts: false, tasks: [{', '.join(tasks)}]}}")
        (self.path / "vars.json").write_text(json.dumps(variables))
        known = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        done = subprocess.run(
            ["ansible-playbook", "play.yml", "-vvv", "--diff", "-i", "hosts.yml", "-e", "@vars.json", *options],
            cwd=self.path,
            env=known
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_LOG_PATH": str(self.path / "ansible.log"),
                "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",
                "ANSIBLE_DISPLAY_OK_HOSTS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        text = done.stdout + done.stderr
        search = Search([Secret("old", PASSWORD), Secret("new", NEW_PASSWORD)])
        assert search.text("output", text) == []
        assert search.text("log", (self.path / "ansible.log").read_text()) == []
        recap = {
            line.split()[0]: dict(pair.split("=") for pair in line.partition(":")[2].split())
            for line in done.stdout.partition("PLAY RECAP")[2].splitlines()
            if line.startswith("node")
        }
        return Result(done.returncode, " ".join(text.split()), recap)

    def changed(self, result: Result) -> dict[str, int]:
        return {name: int(counts["changed"]) for name, counts in result.recap.items()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path)
    yield one
    one.close()


BIOS = {"SysProfile": "Custom", "ProcCStates": "Disabled"}


def test_check_mode_sends_nothing_the_run_sets_and_the_next_one_changes_nothing(site: Site) -> None:
    wanted = {"bmc_bios_attributes": BIOS, "bmc_boot_order": ["pxe", "disk"], "bmc_network_once": True}
    tried = site.run("--check", **wanted)
    assert tried.code == 0, tried.text
    assert site.changed(tried) == {"node01": 2, "node02": 2} and site.written() == []
    assert '- "ProcCStates": "Enabled", - "SysProfile": "PerfPerWattOptimizedOs"' in tried.text
    done = site.run(**wanted)
    assert done.code == 0, done.text
    # Without leave to restart the settings wait, and nobody restarts anything.
    assert "BIOS attributes wait for the next restart of the machine: ProcCStates, SysProfile" in done.text
    assert sorted(set(site.written())) == ["Settings", "System.1"]
    for bmc in site.bmcs.values():
        assert bmc.service.board["pending"] == BIOS and bmc.service.board["boot_order"] == ["Boot0002", "Boot0001"]
        assert bmc.owner.state.boot.target == "Pxe"
        bmc.start()
    again = site.run(**wanted)
    assert again.code == 0 and site.changed(again) == {"node01": 0, "node02": 0}, again.text


def test_a_node_in_service_is_refused_before_anything_is_sent(site: Site) -> None:
    result = site.run(bmc_in_service=True, bmc_boot_order=["pxe"], bmc_firmware=[{"component": "BIOS", "version": "2"}])
    assert result.code == 2 and "node01 is in service: its BMC is not changed" in result.text
    assert site.written() == []


def test_another_nodes_machine_is_refused_before_anything_is_set(site: Site) -> None:
    wanted = {"bmc_serial": "OTHER", "bmc_boot_order": ["pxe"], "bmc_bios_attributes": BIOS, "bmc_restart": True}
    for point in ("due", "main"):
        result = site.run("--limit", "node01", point=point, **wanted)
        assert result.code == 2 and f"has the serial {MACHINE.serial}, wanted is OTHER" in result.text
    assert site.written() == []


def test_firmware_on_more_nodes_than_allowed_is_refused_with_the_plan(site: Site) -> None:
    firmware = [{"component": "BIOS", "version": "2.0", "image_uri": "http://mirror/bios"}]
    result = site.run(bmc_firmware=firmware, bmc_firmware_most=1, bmc_restart=True)
    assert result.code == 2 and "Firmware is due on 2 nodes, more than bmc_firmware_most (1)" in result.text
    assert "node01, node02" in result.text and site.written() == []
    assert result.text.count('"__bmc_firmware_on": [') == 1, "counted once, not by each node"
    # Nodes of several classes: the first has no firmware, which must not keep the others from being counted.
    some = f"{{{{ {firmware} if inventory_hostname == 'node02' else [] }}}}"
    mixed = site.run(bmc_firmware=some, bmc_firmware_most=0, bmc_restart=True)
    assert mixed.code == 2 and "Firmware is due on 1 nodes, more than bmc_firmware_most (0)" in mixed.text
    assert (mixed.recap["node01"]["failed"], mixed.recap["node02"]["failed"]) == ("0", "1") and site.written() == []
    result = site.run(bmc_firmware=firmware)
    assert result.code == 2 and "Set bmc_restart to allow that" in result.text and site.written() == []


def test_a_run_holds_its_nodes_for_as_long_as_all_batches_may_take(site: Site) -> None:
    wanted = {"bmc_firmware": [{"component": "BIOS"}, {"component": "NIC"}], "bmc_firmware_concurrency": 1}
    limits = {"bmc_restart_timeout": 100, "bmc_firmware_timeout": 1000}
    result = site.run("--forks", "1", point="seconds", **wanted, **limits)
    assert result.code == 0 and '"bmc_seconds": 4200.0' in result.text, result.text
    assert '"bmc_seconds": 2100.0' in site.run(point="seconds", bmc_firmware_most=1, **wanted, **limits).text


def test_a_bad_attribute_is_refused_by_its_key(site: Site) -> None:
    result = site.run("--limit", "node01", bmc_bios_attributes={"ProcCState": "Disabled"})
    assert result.code == 2 and "bios.attributes.ProcCState: this BIOS has no such attribute" in result.text
    assert "Did you mean ProcCStates?" in result.text


def test_enrolment_hands_over_what_maas_needs(site: Site) -> None:
    result = site.run("--limit", "node01", point="enrol", bmc_serial=MACHINE.serial)
    assert result.code == 0, result.text
    machine = json.loads((site.path / "node01.out").read_text())
    assert machine["mac_addresses"] == [MACHINE.mac] and machine["power_type"] == "redfish"
    assert machine["power_parameters"]["power_pass"] == PASSWORD
    wrong = site.run("--limit", "node01", point="enrol", bmc_serial="OTHER")
    assert wrong.code == 2 and f"has the serial {MACHINE.serial}, wanted is OTHER" in wrong.text


def test_a_password_is_changed_once(site: Site) -> None:
    tried = site.run("--check", point="password")
    assert (tried.code, site.changed(tried)["node01"], site.written()) == (0, 1, []), tried.text
    done = site.run(point="password")
    assert (done.code, site.changed(done)["node01"]) == (0, 1), done.text
    assert site.bmcs["node01"].service.board.accounts()["1"]["password"] == NEW_PASSWORD
    assert len(site.written()) == 2
    again = site.run(point="password")
    assert again.code == 0 and len(site.written()) == 2, again.text


def test_entries_of_the_log_that_were_acknowledged_are_not_told_again(site: Site) -> None:
    marks = str(site.path / "marks")
    bmc = site.bmcs["node01"]
    bmc.ask("POST", TEST_EVENT, {"Message": "fan 3 lost", "Severity": "Critical"})
    assert "fan 3 lost" in site.run("--limit", "node01", bmc_event_log_marks=marks).text
    assert site.run("--limit", "node01", point="acknowledge", bmc_event_log_marks=marks).code == 0
    bmc.ask("POST", TEST_EVENT, {"Message": "fan 4 lost", "Severity": "Critical"})
    text = site.run("--limit", "node01", bmc_event_log_marks=marks).text
    assert "fan 4 lost" in text and "fan 3 lost" not in text


def test_a_bmc_that_is_not_trusted_says_what_to_do(site: Site) -> None:
    result = site.run("--limit", "node01", bmc_ca_file="")
    assert result.code == 2 and "its certificate is not trusted" in result.text and "as ca_file" in result.text
