# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that test_phases plays, with the real role bmc, BMCs that remember, and a MAAS that may refuse."""

from __future__ import annotations

import json
import shutil
from typing import Any

import yaml

from tests.unit.run.test_phases import MODULE, ROOT, Played, Run

# A BMC is known by its address. What was set once is as the class says from then on.
_ONE = """
node = ARGUMENTS["address"].removeprefix("bmc-")
check = ARGUMENTS["check"] = ARGUMENTS["_ansible_check_mode"]
kept = FOLDER / "bmcs" / (node + "-NAME")
wanted = node in SCENARIO["DUE"] and not kept.exists()
if node in SCENARIO["bad_bmc"]:
    answer(failed=True, msg="this BIOS has no such attribute")
elif node in SCENARIO["dead_bmc"]:
    answer(failed=True, msg="no answer within 30 s", failure={"kind": "Unreachable"})
else:
    if wanted and not check:
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
    answer(changed=wanted, ANSWER)
"""
BODIES = {
    "bmc_bios": _ONE.replace("DUE", "bios_due").replace("ANSWER", "set={}, waiting={}"),
    "bmc_firmware": _ONE.replace("DUE", "firmware_due").replace("ANSWER", 'updates={"BIOS": "2.1"} if wanted else {}'),
    "bmc_event_log_info": """
node = ARGUMENTS["address"].removeprefix("bmc-")
if node in SCENARIO["mute_bmc"]:
    answer(failed=True, msg="no answer within 30 s", failure={"kind": "Unreachable"})
else:
    found = {"check": "bmc.event_log", "component": "event:1", "verdict": "warn", "summary": "fan 3 lost, " + node}
    answer(count=1, findings=[found], mark="newest-of-" + node, restarted=False)
""",
    "bmc_password": """
node = ARGUMENTS["address"].removeprefix("bmc-")
ARGUMENTS["check"] = ARGUMENTS["_ansible_check_mode"]
kept = FOLDER / "bmcs" / (node + "-password")
if node in SCENARIO["bad_bmc"]:
    answer(failed=True, msg="failed logins lock the account")
else:
    changed = not kept.exists()
    if changed and not ARGUMENTS["check"]:
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
    answer(changed=changed)
""",
    "maas_machine_info": """
answer(machines=[], power_users={"id-" + name: "maas" for name in SCENARIO["own_account"]}
       | {"id-" + name: "root" for name in SCENARIO["shared_account"]})
""",
    "maas_machine": """
ARGUMENTS["check"] = ARGUMENTS["_ansible_check_mode"]
def became(name):
    failed = name in SCENARIO["undeployed"] or name in SCENARIO["foreign"]
    there = name in SCENARIO["deployed"]
    idle = there and ARGUMENTS["state"] == "deployed" or not there and ARGUMENTS["state"] == "released"
    return {"failed": failed, "changed": not failed and not idle, "reason": "it belongs to bob", "event": "",
            "actions": [] if idle else [ARGUMENTS["state"]], "status": SCENARIO["status"].get(name, 6 if there else 4),
            "status_name": "Deployed"}
machines = {each["name"]: became(each["name"]) for each in ARGUMENTS["machines"]}
answer(machines=machines, failed_machines=sorted(name for name in machines if machines[name]["failed"]),
       changed=any(each["changed"] for each in machines.values()))
""",
}
SCENARIO: dict[str, Any] = {
    "bios_due": [],
    "firmware_due": [],
    "bad_bmc": [],
    "dead_bmc": [],
    "mute_bmc": [],
    "foreign": [],
    "undeployed": [],
    "deployed": [],
    "own_account": [],
    "shared_account": [],
    "status": {},
}
OLD, NEW = "old-pass-of-the-BMCs", "new-pass-of-the-BMCs"


class Racks:
    """The site; `deployed` are the nodes that MAAS shows as deployed, `log_in` those whose BMC's log-in is known."""

    def __init__(self, played: Played, deployed: list[str], log_in: list[str]) -> None:
        self.played = played
        self.deployed = deployed
        collection = played.folder / "collections/ansible_collections/firstlight/cluster"
        shutil.copytree(ROOT / "roles/bmc", collection / "roles/bmc", dirs_exist_ok=True)
        for name, body in BODIES.items():
            place = collection / "plugins/modules" / f"{name}.py"
            place.unlink()
            place.write_text(MODULE.replace("NAME", name).replace("BODY", body.replace("NAME", name)), encoding="utf-8")
        roster = played.folder / "inventory/hosts.yml"
        hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
        hosts["maas_deployed"] = {"hosts": dict.fromkeys(deployed)}
        for name in log_in:
            hosts["gpu_nodes"]["hosts"][name] |= {
                "bmc_address": f"bmc-{name}",
                "bmc_user": "root",
                "bmc_password": OLD,
                "maas": {"system_id": f"id-{name}", "power_type": "redfish"},
            }
        roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")
        place = played.folder / "inventory/node_classes/lab-h100.yml"
        node_class = yaml.safe_load(place.read_text(encoding="utf-8"))
        node_class["bios"] = {"attributes": {"ProcCStates": "Disabled"}}
        node_class["firmware"] = [{"component": "BIOS", "version": "2.1", "image_uri": "http://mirror/bios.exe"}]
        place.write_text(yaml.safe_dump(node_class), encoding="utf-8")

    def clear(self) -> None:
        shutil.rmtree(self.played.folder / "bmcs", ignore_errors=True)

    def run(self, playbook: str, *arguments: str, **scenario: Any) -> Run:
        common = {**SCENARIO, "deployed": self.deployed, "shared_account": self.deployed}
        return self.played.run(playbook, arguments=arguments, **{**common, **scenario})


def set_by(run: Run, module: str, check: bool = False) -> list[str]:
    """The nodes whose BMCs a module wrote to, or only compared."""
    return sorted({each["address"].removeprefix("bmc-") for each in run.told(module) if each["check"] is check})


def told_to_maas(run: Run, check: bool = False) -> list[tuple[str, list[str]]]:
    """State and machines of each call."""
    return [
        (call["state"], sorted(machine["name"] for machine in call["machines"]))
        for call in run.told("maas_machine")
        if call["check"] is check
    ]


def warnings(run: Run, node: str) -> dict[str, str]:
    """What the report says of a node's BMC."""
    found = run.report["nodes"][node]["findings"]
    assert json.dumps(found)
    return {item["check"]: item["summary"] for item in found if item["check"].startswith("bmc.")}
