# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that MAAS does not know: read through their BMCs, told to MAAS at once, deployed with the others.

The site is that of test_phases; role bmc is the real one, and its BMCs answer from the scenario.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.run.test_phases import MODULE, ROOT, Played, Run, played

__all__ = ["played"]
PASSWORD = "pass-word-of-a-BMC"
BMC_INFO = """
name = ARGUMENTS["name"]
kind = SCENARIO["bmc"].get(name)
if kind:
    answer(failed=True, msg=kind + " it is", failure={"kind": kind})
else:
    power = {"power_address": "https://" + ARGUMENTS["address"], "power_user": ARGUMENTS["user"]}
    serial = SCENARIO.get("told", {}).get(name, "S-" + name)
    answer(identity={"serial": serial},
           enrolment={"name": name, "architecture": "amd64/generic", "mac_addresses": ["mac of " + name],
                      "power_type": "redfish", "power_parameters": power})
"""
MAAS_MACHINE = """
enrols = ARGUMENTS["state"] == "enrolled"
checking = ARGUMENTS["_ansible_check_mode"]
def became(each):
    new = "power_type" in each
    unknown = SCENARIO["unknown"] + SCENARIO["new"] * checking
    if enrols:
        failed = not new or each["name"] in SCENARIO["refused"]
    else:
        failed = not new and each["name"] in unknown
    there = {} if failed or checking and new else {"status_name": "New" if enrols else "Deployed", "event": ""}
    return {"failed": failed, "changed": not failed, "reason": "MAAS says no", "actions": ["enrol"], **there}
answer(machines={each["name"]: became(each) for each in ARGUMENTS["machines"]})
"""
# What the inventory plugin says of a machine that MAAS does not have, and of one that it cannot tell.
MISSING = {"maas_problem": {"reason": "No machine", "remedy": "Enlist it", "missing": True}}
DOUBTFUL = {"maas_problem": {"reason": "Two machines", "remedy": "Delete one", "missing": False}}
LOG_IN = {"bmc_address": "bmc.example.com", "bmc_user": "root", "bmc_password": PASSWORD}
NODES: dict[str, dict[str, Any]] = {
    "fit1": {"maas": {"system_id": "a"}, **LOG_IN},
    "fit2": {**MISSING, **LOG_IN, "maas_pool": "gpu"},
    "sick": {**MISSING, **LOG_IN},
    "mute": {**MISSING, **LOG_IN},
    "alone": {**MISSING, **LOG_IN},
    "together": {**MISSING, **LOG_IN},
    "uncabled": {**MISSING, **LOG_IN},
    "undeployed": {**MISSING, "bmc_address": "bmc.example.com"},
    "unconfigured": {**DOUBTFUL, **LOG_IN},
}
SCENARIO = {
    "bmc": {"sick": "Unauthorized", "mute": "Unreachable", "alone": "Untrusted", "together": "InvalidResponse"},
    "refused": ["uncabled"],
    "unknown": ["undeployed", "unconfigured"],
    "new": ["fit2"],
}
LIMIT = ("--limit", ",".join(NODES))


@pytest.fixture(scope="module")
def racks(played: Played) -> Played:
    """The site with the real role bmc and MAAS as it is for machines that it may not know."""
    collection = played.folder / "collections/ansible_collections/firstlight/cluster"
    shutil.copytree(ROOT / "roles/bmc", collection / "roles/bmc", dirs_exist_ok=True)
    for name, body in (("bmc_info", BMC_INFO), ("maas_machine", MAAS_MACHINE)):
        place = collection / "plugins/modules" / f"{name}.py"
        place.unlink()
        place.write_text(MODULE.replace("NAME", name).replace("BODY", body), encoding="utf-8")
    roster = played.folder / "inventory/hosts.yml"
    hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
    for name, more in NODES.items():
        hosts["gpu_nodes"]["hosts"][name] |= more
    del hosts["gpu_nodes"]["hosts"]["fit2"]["serial_number"]
    roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")
    return played


@pytest.fixture(scope="module")
def site(racks: Played) -> Run:
    run = racks.run("provision", arguments=(*LIMIT, "-vvv", "-e", '{"maas_tags": ["new"]}'), **SCENARIO)
    assert run.status == 0, run.output
    kept = racks.folder / "kept"
    shutil.copytree(racks.folder / "artifacts/latest", kept / "artifacts/latest")
    for told in racks.folder.glob("*.jsonl"):
        shutil.copy(told, kept)
    return Run(kept, run.status, run.output)


def test_only_machines_that_maas_lacks_are_asked_for_and_each_is_told_once(site: Run) -> None:
    asked = {call["name"]: call.get("serial") for call in site.told("bmc_info")}
    assert asked == {"fit2": None} | {name: f"S-{name}" for name in ("sick", "mute", "alone", "together", "uncabled")}
    enrolled, deployed = site.told("maas_machine")
    assert (enrolled["state"], enrolled["tags"]) == ("enrolled", ["new"])
    told = {each["name"]: each for each in enrolled["machines"]}
    assert told["fit2"] == {
        "name": "fit2",
        "architecture": "amd64/generic",
        "mac_addresses": ["mac of fit2"],
        "power_type": "redfish",
        "power_parameters": {
            "power_address": "https://bmc.example.com",
            "power_user": "root",
            "power_pass": PASSWORD,
        },
        "pool": "gpu",
        "zone": None,
        "serial_of_bmc": False,
    }
    assert {name for name, each in told.items() if "power_type" in each} == {"fit2", "uncabled"}
    assert {each["name"] for each in deployed["machines"]} == {"fit1", "fit2", "undeployed", "unconfigured"}


def test_who_could_not_be_enrolled_is_set_aside_with_the_cause_and_no_other(site: Run) -> None:
    gates = site.gates
    assert set(gates["enrol"]["set_aside"]) == {"sick", "mute", "alone", "together", "uncabled"}
    assert gates["enrol"]["passed"] == ["fit2"]
    assert set(gates["provision"]["passed"]) == {"fit1", "fit2"}
    assert set(gates["provision"]["set_aside"]) == {"undeployed", "unconfigured"}
    said = {
        name: {item["check"]: item["summary"] for item in site.report["nodes"][name]["findings"]}
        for name in gates["enrol"]["set_aside"]
    }
    unread = {"provision.enrol": "its BMC was not read, so MAAS was not told of it"}
    assert said == {
        "sick": {"boot.bmc_login": "Unauthorized it is", **unread},
        "mute": {"boot.bmc_unreachable": "Unreachable it is", **unread},
        "alone": {"boot.bmc_certificate": "Untrusted it is", **unread},
        "together": {"provision.enrol": "InvalidResponse it is"},
        "uncabled": {"provision.enrol": "MAAS says no"},
    }


def test_the_ledger_hears_who_was_enrolled(site: Run) -> None:
    calls = {call["phase"]: call for call in site.told("ledger") if call.get("actions")}
    assert [(action["node"], action["action"]) for action in calls["enrol"]["actions"]] == [("fit2", "enrolled")]
    assert site.ledger["sick"] == {"enrol": "set_aside"}


def test_the_password_is_nowhere(site: Run) -> None:
    assert PASSWORD not in site.output
    written = [path for path in Path(site.folder, "artifacts").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if PASSWORD in path.read_text(encoding="utf-8")]


def test_where_maas_knows_every_machine_no_bmc_is_asked_and_there_is_no_such_phase(racks: Played) -> None:
    run = racks.run("provision", arguments=("--limit", "fit1"), **SCENARIO)
    assert run.status == 0, run.output
    assert not run.told("bmc_info")
    assert [call["state"] for call in run.told("maas_machine")] == ["deployed"]
    assert [phase["name"] for phase in run.report["phases"]] == ["provision"]


def test_check_mode_puts_off_what_would_be_enrolled(racks: Played) -> None:
    run = racks.run("provision", arguments=("--limit", "fit2,undeployed,sick", "--check"), **SCENARIO)
    states = {name: node["state"] for name, node in run.report["nodes"].items()}
    assert states == {"fit2": "deferred", "undeployed": "set_aside", "sick": "set_aside"}, run.output


def test_a_machine_that_is_another_nodes_is_not_told_to_maas(racks: Played) -> None:
    """fit2 has no serial number in the roster, so only another node's gives it away."""
    run = racks.run("provision", arguments=("--limit", "fit2,uncabled"), **SCENARIO, told={"fit2": "S-fit1"})
    assert set(run.gates["enrol"]["set_aside"]) == {"fit2", "uncabled"}, run.output
    (said,) = [item for item in run.report["nodes"]["fit2"]["findings"] if item["check"] == "provision.enrol"]
    assert said["verdict"] == "fail"
    assert "serial S-fit1, which is that of fit1 in the roster: two bmc_address are swapped" in said["summary"]
    told = {each["name"]: each for each in run.told("maas_machine")[0]["machines"]}
    assert "power_type" in told["uncabled"] and "power_type" not in told["fit2"]


def test_the_ledger_hears_the_serial_that_a_bmc_told(site: Run) -> None:
    (call,) = [call for call in site.told("ledger") if call.get("phase") == "provision" and call.get("states")]
    assert call["states"]["fit2"]["serial"] == "S-fit2"


def test_a_forgotten_recorder_keeps_a_node_out(racks: Played) -> None:
    path = racks.folder / "collections/ansible_collections/firstlight/cluster/playbooks/tasks/enrol.yml"
    text = path.read_text(encoding="utf-8")
    tasks = [task for task in yaml.safe_load(text) if "how the machine came out" not in task["name"]]
    path.write_text(yaml.safe_dump(tasks), encoding="utf-8")
    try:
        run = racks.run("provision", arguments=("--limit", "fit2"), **SCENARIO)
    finally:
        path.write_text(text, encoding="utf-8")
    assert run.gates["enrol"]["set_aside"] == ["fit2"], run.output


def test_a_role_that_fails_before_the_bmc_was_asked_is_told(racks: Played) -> None:
    run = racks.run("provision", arguments=("--limit", "fit2", "-e", "bmc_request_timeout=soon"), **SCENARIO)
    assert run.gates["enrol"]["set_aside"] == ["fit2"], run.output
    assert not run.told("bmc_info")
    found = {item["check"]: item for item in run.report["nodes"]["fit2"]["findings"]}
    assert set(found) == {"phase.task", "provision.enrol"}
