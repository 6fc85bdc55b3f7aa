# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What MAAS knows of a machine that did not come up: since its last start, and nothing that is not known."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.evidence import evidence

BOOT = {"mac_address": "52:54:00:00:00:01", "vlan": {"dhcp_on": True, "external_dhcp": None}, "discovered": None}


def machine(status: str, **more: Any) -> dict[str, Any]:
    return {"system_id": "abc123", "status_name": status, "interface_set": [BOOT], **more}


def events(*kinds: str) -> list[dict[str, Any]]:
    """Newest first, a minute apart; one that begins with ! is an error."""
    return [
        {
            "type": kind.lstrip("!").partition(":")[0],
            "description": kind.partition(":")[2],
            "level": "ERROR" if kind.startswith("!") else "INFO",
            "created": f"Mon, 23 Nov. 2026 12:{30 - number:02}:00",
        }
        for number, kind in enumerate(kinds)
    ]


def run(number: int, kind: str, *results: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "type_name": kind, "results": list(results)}


def inventory(**serials: str) -> dict[str, Any]:
    disks = [{"serial": serial, "id": name} for serial, name in serials.items()]
    text = json.dumps({"resources": {"storage": {"disks": disks}}})
    return {"name": "50-maas-01-commissioning", "stdout": base64.b64encode(text.encode()).decode(), "output": "x"}


def test_one_that_never_asked_got_no_address_and_was_waited_for() -> None:
    found = evidence(
        machine("Failed commissioning"),
        events("!Marking node failed:timed out", "Commissioning", "Performing PXE boot", "Deploying"),
        [],
    )
    assert found["dhcp"] == {"lease": False} and found["post"] == {"waited": 60.0}
    assert found["power"] == {"ordered": True} and found["boot_mac"] == BOOT["mac_address"]
    assert found["maas"]["event"] == "Marking node failed: timed out"


def test_one_that_asked_got_an_address() -> None:
    boot = {**BOOT, "discovered": [{"ip_address": "10.0.0.5"}]}
    failed = machine("Failed deployment", boot_interface=boot)
    told = events(
        "!Marking node failed:see log", "!Node installation failure:x509: bad", "Loading ephemeral", "Deploying"
    )
    found = evidence(failed, told, [])
    assert found["dhcp"] == {"lease": True, "address": "10.0.0.5"} and "post" not in found
    assert found["maas"]["event"] == "Node installation failure: x509: bad"


@pytest.mark.parametrize(
    ("status", "told", "boot"),
    [
        ("Deployed", events("Deployed", "Deploying"), BOOT),
        ("Failed commissioning", events("!Marking node failed:long ago"), BOOT),
        ("Ready", events("Ready", "Commissioning"), BOOT),
        ("Deploying", events("Deploying"), {**BOOT, "vlan": {"external_dhcp": "10.0.0.9"}}),
    ],
)
def test_what_maas_cannot_know_of_leases_is_left_out(status: str, told: Any, boot: dict[str, Any]) -> None:
    assert "dhcp" not in evidence(machine(status, boot_interface=boot), told, [])


def test_a_bmc_that_maas_could_not_ask_did_not_switch_it_on() -> None:
    found = evidence(machine("Failed deployment"), events("!Failed to power on node:timed out", "Deploying"), [])
    assert found["maas"]["power_error"] == "Failed to power on node: timed out" and "power" not in found


def test_only_scripts_that_began_say_something() -> None:
    began = {"name": "smartctl", "status_name": "Failed", "exit_status": 4, "started": "now"}
    waiting = {"name": "lshw", "status_name": "Timed out", "exit_status": None, "started": None}
    ignored = {**began, "name": "badblocks", "suppressed": True}
    runs = [run(9, "Testing", began, waiting, ignored), run(8, "Testing", {**began, "name": "older"})]
    found = evidence(machine("Failed testing"), [], runs)
    assert found["maas"]["scripts"] == [{"name": "smartctl", "status": "Failed", "exit_status": 4}]
    assert evidence(machine("Failed deployment"), [], runs)["maas"]["scripts"] == []


def test_the_log_of_the_installation_is_searched_for_what_tells() -> None:
    text = base64.b64encode(b"all well\ncurl: certificate has expired\n").decode()
    log = run(9, "Installation", {"name": "/tmp/install.log", "output": text})
    assert evidence(machine("Failed deployment"), [], [log])["maas"]["errors"] == ["curl: certificate has expired"]


def test_the_systems_disk_is_followed_through_two_commissionings() -> None:
    runs = [
        run(9, "Commissioning", inventory(S1="nvme1n1", S2="nvme0n1")),
        run(7, "Commissioning", inventory(S1="nvme0n1")),
    ]
    found = evidence(machine("Failed deployment", boot_disk={"serial": "S1"}), [], runs)
    names = {"S1": "nvme1n1", "S2": "nvme0n1"}
    assert found["disks"] == {"wanted": "S1", "names": names, "installed_as": "nvme0n1"}
    assert "installed_as" not in evidence(machine("Ready", boot_disk={"serial": "S1"}), [], runs[:1])["disks"]


@pytest.mark.parametrize("output", ["", "bm8ganNvbg==", base64.b64encode(b'{"resources": []}').decode()])
def test_an_output_that_cannot_be_read_tells_nothing_of_disks(output: str) -> None:
    runs = [run(9, "Commissioning", {"name": "50-maas-01-commissioning", "stdout": output, "output": output})]
    assert "disks" not in evidence(machine("Failed deployment"), [], runs)
