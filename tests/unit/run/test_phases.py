# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases as they are, on local hosts of which each has one defect: every gate keeps its own out, and no other.

Playbooks, actions, callback and domain are the real ones. What would reach a machine, MAAS or the ledger is played:
those modules answer from a scenario and write down what they were told. Roles do nothing, but for one that fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS

from tests.unit.health.health_factory import Spoil, absent, put, spoiled
from tests.unit.health.health_factory import node_class as class_of_the_factory

ROOT = Path(__file__).resolve().parents[3]
SITE = ("provision", "configure", "fabric", "validate", "admit")
HCA = "mlx5_0"
# A played module: Ansible gives it the path of its arguments (WANT_JSON), and it has no others to import.
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, os, pathlib, sys
FOLDER = pathlib.Path(os.environ["PLAYED_SITE"])
ARGUMENTS = json.loads(pathlib.Path(sys.argv[1]).read_text())
SCENARIO = json.loads((FOLDER / "scenario.json").read_text())
def answer(**result):
    with (FOLDER / "NAME.jsonl").open("a") as told:
        told.write(json.dumps({k: v for k, v in ARGUMENTS.items() if not k.startswith("_ansible")}) + "\\n")
    print(json.dumps({"changed": False, **result}))
BODY
"""
MODULES = {
    "ssh_host_certificates": "answer(hosts={})",
    "maas_machine": """
anew = ARGUMENTS["state"] == "recommissioned"
actions = {"released": "release", "recommissioned": "commission", "deployed": "deploy", "enrolled": "enrol"}
failed = SCENARIO["uncommissioned" if anew else "undeployed"]
answer(machines={
    each["name"]: {"failed": each["name"] in failed, "changed": each["name"] != "fit2",
                   "reason": "Scripts: memtester (Failed)" if anew else "no power",
                   "system_id": "id of " + each["name"], "status_name": "Deployed", "event": "",
                   "actions": [] if each["name"] in SCENARIO.get("free", []) else [actions[ARGUMENTS["state"]]]}
    for each in ARGUMENTS["machines"]
})""",
    "maas_tag": "answer()",
    "maas_boot_evidence_info": """
answer(**({"failed": True, "msg": "MAAS is away"} if SCENARIO["no_evidence"] else {"evidence": {}}))""",
    "ledger": "answer(held={}, drained=[], locks=[], unlocked=[], part_changes={})",
    "ledger_info": 'answer(nodes=SCENARIO["ledger"])',
    "ib_netdiscover": """
failed = SCENARIO["no_discovery"]
answer(**({"failed": True, "msg": "no active port"} if failed else {"netlist": SCENARIO["netlist"]}))""",
    "software_info": """
node = ARGUMENTS["node"]
done = FOLDER / "configured" / node
has = dict(SCENARIO["has"].get(node, {}))
if done.exists() and node not in SCENARIO["stuck"]:
    has.update(ARGUMENTS["software"])
differ = [
    {"item": item, "has": has[item], "wants": wanted, "summary": f"{item} is {has[item]}, the class has {wanted}"}
    for item, wanted in ARGUMENTS["software"].items() if has.get(item, wanted) != wanted
]
found = [
    {"check": "software.drift", "component": "software:" + each["item"], "verdict": ARGUMENTS["against"],
     "summary": each["summary"]} for each in differ
] or [{"check": "software.drift", "component": "host", "verdict": "pass", "summary": "as the class says"}]
if node in SCENARIO["unlooked"]:
    answer(failed=True, msg="no module named json")
else:
    answer(differences=differ, due=bool(differ), findings={node: found})
""",
    "node_observation": 'answer(observation=SCENARIO["observations"][ARGUMENTS["nvml_path"][0]])',
    "all_reduce": """
check = "collective.intra" if ARGUMENTS.get("scope") == "intra" else "collective.inter"
if check == "collective.inter" and SCENARIO["no_launch"]:
    answer(failed=True, msg="no mpirun")
else:
    answer(findings={
        host: [{"check": check, "component": "host", "summary": "as fast as it is",
                "verdict": "fail" if host in SCENARIO[check] else "pass"}]
        for host in ARGUMENTS["hosts"]
    })""",
    "gpu_stress": """
node = ARGUMENTS["library_path"][0]
told = SCENARIO["computed"][node]
checks = ["exact", "tflops", "hbm", "h2d", "d2h", "p2p", "soak"]
gpu = {"kind": "H100, cupy", "figures": {"TFLOP/s of fp16": told.get("speed", 700)}, "digests": {}}
if ARGUMENTS.get("_ansible_check_mode"):
    answer(findings=[
        {"check": "compute." + check, "component": "host", "summary": "not measured in check mode", "verdict": "warn"}
        for check in [*checks, "fleet"]
    ])
elif told.get("crashes"):
    answer(failed=True, msg="no module named numpy")
else:
    answer(
        findings=[
            {"check": "compute." + check, "component": "gpu:0", "verdict": told.get(check, "pass"), "summary": "so"}
            for check in checks if check not in told.get("silent", [])
        ],
        fleet={"node_class": "lab-h100", "outlier_percent": 5, "gpus": {"gpu:0": gpu, "gpu:1": gpu}},
    )""",
}
NODES = (
    "fit1",
    "fit2",
    "undeployed",
    "silent",
    "dead",
    "unconfigured",
    "uncabled",
    "sick",
    "mute",
    "alone",
    "together",
    "held",
    "later",
)
SPOILED = {
    "fit2": [put("nvml|gpus|5|temperature_c", 84)],
    "sick": [put("infiniband|devices|mlx5_3|ports|1|state", "DOWN")],
    "mute": [absent("kernel_log")],
}
# Which phase keeps which node out.
KEPT_OUT = {
    "provision": {"undeployed", "silent"},
    "configure": {"dead", "unconfigured"},
    "fabric": {"uncabled"},
    "validate": {"sick", "mute", "alone"},
    "validate_together": {"together"},
    "admit": set[str](),
}
FIT = {"fit1", "fit2"}


@dataclass
class Played:
    """A site on this machine."""

    folder: Path
    scenario: dict[str, Any]

    def run(self, *playbooks: str, arguments: tuple[str, ...] = (), **scenario: Any) -> Run:
        """Run playbooks of the collection, one after the other in one run."""
        (self.folder / "scenario.json").write_text(json.dumps(self.scenario | scenario), encoding="utf-8")
        place = self.folder / "collections/ansible_collections/firstlight/cluster/playbooks"
        plays = [{"ansible.builtin.import_playbook": str(place / f"{name}.yml")} for name in playbooks]
        (self.folder / "site.yml").write_text(yaml.safe_dump(plays), encoding="utf-8")
        for left in [*self.folder.glob("*.jsonl"), *self.folder.glob("artifacts/latest")]:
            left.unlink()
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_LOG_PATH": str(self.folder / "log"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DISPLAY_OK_HOSTS": "1",
            "ANSIBLE_CONNECTION_RETRIES": "0",
            "ANSIBLE_FORKS": "4",
            "FIRSTLIGHT_ARTIFACTS": str(self.folder / "artifacts"),
            "PLAYED_SITE": str(self.folder),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.folder / "inventory")]
        done = subprocess.run(
            [*command, str(self.folder / "site.yml"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return Run(self.folder, done.returncode, done.stdout + done.stderr)


@dataclass
class Run:
    """What came of a run."""

    folder: Path
    status: int
    output: str

    def told(self, module: str) -> list[dict[str, Any]]:
        """The arguments of each call of a played module."""
        path = self.folder / f"{module}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    @property
    def gates(self) -> dict[str, dict[str, Any]]:
        files = (self.folder / "artifacts/latest/gates").resolve().glob("*.json")
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / "artifacts/latest/report.json").read_text(encoding="utf-8"))
        return report

    @property
    def ledger(self) -> dict[str, dict[str, str]]:
        """State by node that the ledger was told last."""
        states: dict[str, dict[str, str]] = {}
        for call in self.told("ledger"):
            for node, state in call.get("states", {}).items():
                states.setdefault(node, {})[call["phase"]] = state["state"]
        return states


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("played")
    collection = folder / "collections/ansible_collections/firstlight/cluster"
    (collection / "plugins/modules").mkdir(parents=True)
    for real in (ROOT / "plugins").iterdir():
        if real.name != "modules":
            (collection / "plugins" / real.name).symlink_to(real)
    for real in (ROOT / "plugins/modules").glob("*.py"):
        place = collection / "plugins/modules" / real.name
        if real.stem in MODULES:
            body = MODULE.replace("NAME", real.stem).replace("BODY", MODULES[real.stem])
            place.write_text(body, encoding="utf-8")
        else:
            place.symlink_to(real)
    shutil.copytree(ROOT / "playbooks", collection / "playbooks")
    for name in ("galaxy.yml", "meta", "node_classes"):
        (collection / name).symlink_to(ROOT / name)
    for role in (path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()):
        for tasks in (ROOT / "roles" / role / "tasks").glob("*.yml"):
            place = collection / "roles" / role / "tasks" / tasks.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("[]\n", encoding="utf-8")
    tell = {"name": "Tell", "ansible.builtin.debug": {"msg": "configuring {{ inventory_hostname }}."}}
    (collection / "roles/base_os/tasks/main.yml").write_text(yaml.safe_dump([tell]), encoding="utf-8")
    due = {"name": "Due", "ansible.builtin.set_fact": {"reboot_due": {"reasons": "{{ reasons | default([]) }}"}}}
    say = {
        "name": "Say",
        "ansible.builtin.debug": {"msg": "{{ inventory_hostname }} in service: {{ reboot_in_service }}."},
    }
    (collection / "roles/reboot/tasks/main.yml").write_text(yaml.safe_dump([due, say]), encoding="utf-8")
    break_one = {"name": "Break", "ansible.builtin.assert": {"that": "inventory_hostname != 'unconfigured'"}}
    (collection / "roles/gpu_driver/tasks/main.yml").write_text(yaml.safe_dump([break_one]), encoding="utf-8")
    for role in ("gpu_driver", "container_runtime"):
        after = {
            "name": "After",
            "ansible.builtin.debug": {"msg": f"{role} of {{{{ inventory_hostname }}}} after a restart."},
        }
        place = collection / "roles" / role / "tasks/restarted.yml"
        assert place.is_file(), "the role has such an entry"
        place.write_text(yaml.safe_dump([after]), encoding="utf-8")
    return Played(folder, _inventory(folder))


def shown(node: str, *spoils: Spoil) -> str:
    """What is read of a node, whose parts are no other node's."""
    observation = spoiled()
    for gpu in observation["readers"]["nvml"]["data"]["gpus"]:
        gpu |= {key: f"{gpu[key]}-{node}" for key in ("serial", "uuid")}
    for hca in observation["readers"]["infiniband"]["data"]["devices"].values():
        hca["node_guid"] += f":{node}"
    for spoil in spoils:
        spoil(observation)
    return json.dumps(observation)


def _inventory(folder: Path) -> dict[str, Any]:
    """Writes roster, class and cable plan; returns what the played modules answer."""
    inventory = folder / "inventory"
    (inventory / "node_classes").mkdir(parents=True)
    (inventory / "00-common.yml").symlink_to(ROOT / "inventories/common/00-common.yml")
    node_class = yaml.safe_load((ROOT / "inventories/lab/node_classes/lab-h100.yml").read_text(encoding="utf-8"))
    del node_class["bios"]  # a test that plays BMCs says itself what is wanted of them
    del node_class["system"]["health_agent"]  # the agent of a node that is made up judges by another class
    # What is observed here are other processors and more disks than the lab shows.
    node_class["hardware"] |= {key: class_of_the_factory()["hardware"][key] for key in ("cpu", "nvme_disks")}
    (inventory / "node_classes/lab-h100.yml").write_text(yaml.safe_dump(node_class), encoding="utf-8")
    nodes: dict[str, dict[str, Any]] = {
        node: {"node_class": "lab-h100", "serial_number": f"S-{node}", "rack": "r1", "unit": unit}
        for unit, node in enumerate(NODES, 1)
    }
    nodes["later"]["state"] = "planned"
    # Known to MAAS as deployed, and no answer: port 1 of loopback refuses.
    nodes["silent"] |= {"ansible_host": "127.0.0.1", "ansible_port": 1, "__silent_in": ["provision"]}
    nodes["dead"] |= {"ansible_host": "127.0.0.1", "ansible_port": 1, "__silent_in": ["configure"]}
    shared = {
        "ansible_connection": "{{ 'ssh' if firstlight_phase | default('provision') in __silent_in else 'local' }}",
        "__silent_in": [],
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "maas_url": "http://127.0.0.1:1/MAAS",
        "maas_api_key_file": "/nowhere",
        "ssh_host_ca_file": "/nowhere",
        "ssh_known_hosts_file": "/nowhere",
        "mpi_network": "10.0.0.0/8",
        "min_healthy_fraction": 0.1,
        "maas_arrival_timeout": 1,
        # So that the played module knows of which node it is asked.
        "node_health_nvml_path": ["{{ inventory_hostname }}"],
        "gpu_stress_library_path": ["{{ inventory_hostname }}"],
        "fabric_cable_plan": str(inventory / "cable_plan.yml"),
    }
    hosts = {"all": {"vars": shared}, "gpu_nodes": {"hosts": nodes}, "head_nodes": {"hosts": {"head": None}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    links = [[f"leaf-01/{port}", f"{node}/{HCA}"] for port, node in enumerate(NODES, 1)]
    plan = {"schema": 1, "lanes_per_cage": 1, "links": links}
    (inventory / "cable_plan.yml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    cabled = [node for node in NODES if node != "uncabled"]
    netlist = {
        "schema": 1,
        "nodes": [["S-1", "switch", "leaf-01", 64], *([f"H-{node}", "ca", f"{node} {HCA}", 1] for node in cabled)],
        "links": [[0, NODES.index(node) + 1, place, 1, 4, "NDR"] for place, node in enumerate(cabled, 1)],
        "unread_lines": 0,
    }
    return {
        "undeployed": ["undeployed"],
        "uncommissioned": [],
        "ledger": {"held": {"state": "quarantined", "since": "2026-01-01", "reason": "kept for the vendor"}},
        "no_discovery": False,
        "netlist": netlist,
        "observations": {node: shown(node, *SPOILED.get(node, [])) for node in NODES},
        "collective.intra": ["alone"],
        "collective.inter": ["together"],
        "no_launch": False,
        "no_evidence": False,
        "has": {},
        "unlooked": [],
        "stuck": [],
        "computed": {},
    }


@pytest.fixture(scope="module")
def site(played: Played) -> Run:
    """One bring-up, which the tests below look at."""
    run = played.run(*SITE)
    assert run.status == 0, run.output
    # Later runs of the module leave this one's directory alone, and take its link.
    kept = played.folder / "kept"
    shutil.copytree(played.folder / "artifacts/latest", kept / "artifacts/latest")
    for told in played.folder.glob("*.jsonl"):
        shutil.copy(told, kept)
    return Run(kept, run.status, run.output)


@pytest.mark.parametrize("phase", KEPT_OUT)
def test_every_gate_keeps_its_own_out_and_no_other(site: Run, phase: str) -> None:
    gates = site.gates
    before = set[str]().union(*(KEPT_OUT[each] for each in list(KEPT_OUT)[: list(KEPT_OUT).index(phase)]))
    assert set(gates[phase]["set_aside"]) == KEPT_OUT[phase] | (before if phase == "admit" else set())
    assert set(gates[phase]["passed"]) == {*NODES} - {"held", "later"} - before - KEPT_OUT[phase]


def test_nobody_is_taken_through_a_phase_after_it_was_set_aside(site: Run) -> None:
    configured = re.findall(r"configuring (\w+)\.", site.output)
    assert sorted(configured) == sorted({*NODES} - {"undeployed", "silent", "dead", "held", "later"})
    asked = [call["nvml_path"][0] for call in site.told("node_observation")]
    assert sorted(asked) == sorted(FIT | {"sick", "mute", "alone", "together"})
    alone = {call["hosts"][0] for call in site.told("all_reduce") if call.get("scope") == "intra"}
    assert alone == FIT | {"sick", "mute", "alone", "together"}
    (together,) = [call for call in site.told("all_reduce") if call.get("scope") != "intra"]
    assert set(together["hosts"]) == FIT | {"together"}
    assert len(site.told("maas_machine")) == 1
    assert {each["name"] for each in site.told("maas_machine")[0]["machines"]} == {*NODES} - {"held", "later"}


def test_the_ledger_hears_how_far_each_node_came(site: Run) -> None:
    came = {"provision": "deployed", "configure": "configured", "admit": "in_service"}
    for node in FIT:
        assert site.ledger[node] == came
    for phase, nodes in KEPT_OUT.items():
        for node in nodes:
            assert site.ledger[node][phase] == "set_aside"
            assert "in_service" not in site.ledger[node].values()
    assert not site.ledger.keys() & {"held", "later"}


def test_the_ledger_hears_whom_the_run_deployed(site: Run) -> None:
    (call,) = [call for call in site.told("ledger") if call.get("phase") == "provision"]
    deployed = {action["node"] for action in call["actions"] if action["action"] == "deployed"}
    assert deployed == {*NODES} - {"undeployed", "fit2", "held", "later"}


def test_the_ledger_hears_of_the_parts_that_were_read(site: Run) -> None:
    parts = {node: kinds for call in site.told("ledger") for node, kinds in call.get("parts", {}).items()}
    assert set(parts) == FIT | {"sick", "mute", "alone", "together"}
    assert [part["component"] for part in parts["fit1"]["gpu"]["parts"]] == [f"gpu:{slot}" for slot in range(8)]


def test_the_ledger_hears_of_each_check_that_passed_once(site: Run) -> None:
    (call,) = [call for call in site.told("ledger") if call.get("phase") == "validate" and "passed" in call]
    passed = {node: entry["checks"] for entry in call["passed"] for node in entry["nodes"]}
    assert set(passed["fit1"]) > {"gpu.count", "gpu.temperature", "collective.intra"}
    assert set(map(tuple, passed["fit1"].values())) == {("*",)}
    warm = [f"gpu:{slot}" for slot in range(8) if slot != 5]
    assert passed["fit2"] == {**passed["fit1"], "gpu.temperature": warm, "gpu.temperature.outlier": warm}


def test_maas_hears_who_is_in_service_and_who_no_longer_is(site: Run) -> None:
    present, absent = set[str](), set[str]()
    for call in site.told("maas_tag"):
        present |= {machine["serial"] for machine in call.get("machines_present") or ()}
        absent |= {machine["serial"] for machine in call.get("machines_absent") or ()}
    assert present == {f"S-{node}" for node in FIT}
    assert absent == {f"S-{node}" for nodes in KEPT_OUT.values() for node in nodes}


def test_the_report_gives_each_node_its_state_and_reason(site: Run) -> None:
    nodes = site.report["nodes"]
    states = {name: node["state"] for name, node in nodes.items()}
    aside = {node for nodes in KEPT_OUT.values() for node in nodes} - {"dead", "silent"}
    assert states == {
        **dict.fromkeys(FIT, "admitted"),
        **dict.fromkeys(aside | {"held"}, "set_aside"),
        "dead": "unreachable",
        "silent": "unreachable",
    }
    reasons = {
        name: {(item["check"], item["verdict"]) for item in node["findings"] if item["verdict"] in ("fail", "unknown")}
        for name, node in nodes.items()
    }
    assert reasons == {
        "fit1": set(),
        "fit2": set(),
        "undeployed": {("provision.deploy", "fail"), ("phase.complete", "fail"), ("boot.unexplained", "unknown")},
        "dead": {("host.reachable", "unknown")},
        "silent": {("host.reachable", "unknown"), ("boot.unexplained", "unknown")},
        "unconfigured": {("phase.task", "fail")},
        "uncabled": {("fabric.port.down", "fail")},
        "sick": {("hca.state", "fail"), ("hca.rate", "unknown"), ("hca.subnet_manager", "unknown")},
        "mute": {("gpu.xid", "unknown"), ("gpu.sxid", "unknown")},
        "alone": {("collective.intra", "fail")},
        "together": {("collective.inter", "fail")},
        "held": {("lifecycle.quarantined", "fail")},
    }
    assert [phase["name"] for phase in site.report["phases"]][-1] == "admit"


# -- runs of their own

# What records in a phase that it came to its end; without it the gate hears nothing, and knows nothing.
RECORDERS = {
    "arrived": ("provision", "arrive"),
    "ended": ("configure", "configured"),
    "compared": ("fabric", "compare"),
    "alone": ("validate", "all_reduce_node"),
    "together": ("validate_together", "all_reduce_cluster"),
}


@pytest.mark.parametrize("what", RECORDERS)
def test_a_forgotten_task_keeps_a_node_out(played: Played, what: str) -> None:
    phase, recorder = RECORDERS[what]
    playbooks = played.folder / "collections/ansible_collections/firstlight/cluster/playbooks"
    name = phase.removesuffix("_together")
    path = playbooks / (f"tasks/{recorder}.yml" if recorder != "compare" else "fabric.yml")
    text = path.read_text(encoding="utf-8")
    forgotten: Any = [{"name": "Nothing", "ansible.builtin.meta": "noop"}]
    if recorder == "compare":
        forgotten = yaml.safe_load(text)
        forgotten[1]["tasks"] = [task for task in forgotten[1]["tasks"] if "Compare" not in task["name"]]
    path.write_text(yaml.safe_dump(forgotten), encoding="utf-8")
    try:
        run = played.run(name, arguments=("--limit", "fit1"))
    finally:
        path.write_text(text, encoding="utf-8")
    assert run.gates[phase]["set_aside"] == ["fit1"], run.output


def test_a_restart_that_is_due_in_service_waits_and_is_told(played: Played) -> None:
    ledger = {"fit1": {"state": "in_service"}, "fit2": {"state": "configured"}}
    waits = {"reasons": ["another kernel is pinned"], "common_put_offs": ["nvidia-driver-cuda 580.65.06"]}
    arguments = ("--limit", "fit1,fit2", "-e", json.dumps(waits))
    run = played.run("configure", arguments=arguments, ledger=ledger)
    assert run.gates["configure"]["passed"] == ["fit1", "fit2"], run.output
    assert {"fit1 in service: True.", "fit2 in service: False."} <= set(
        re.findall(r"fit. in service: \w+\.", run.output)
    )
    told = {
        name: [(item["check"], item["verdict"]) for item in node["findings"]]
        for name, node in run.report["nodes"].items()
    }
    assert told == {"fit1": [("lifecycle.reboot_due", "warn"), ("lifecycle.upgrade_due", "warn")], "fit2": []}
    # Who was restarted does in the same run what waited for it, and nobody else does.
    assert re.findall(r"(\w+) of (\w+) after a restart\.", run.output) == [
        ("gpu_driver", "fit2"),
        ("container_runtime", "fit2"),
    ]


@pytest.mark.long
def test_a_triage_that_fails_hides_nothing_and_stops_nobody(played: Played) -> None:
    arguments = ("--limit", "fit1,silent,undeployed")
    run = played.run("provision", arguments=arguments, no_evidence=True)
    assert run.status == 0, run.output
    assert (run.gates["provision"]["passed"], len(run.gates["provision"]["set_aside"])) == (["fit1"], 2)
    run = played.run("provision", arguments=(*arguments, "-e", "triage_bmc_timeout=soon"))
    assert (run.gates["provision"]["passed"], len(run.gates["provision"]["set_aside"])) == (["fit1"], 2)
    for node in ("silent", "undeployed"):
        (cause,) = [item for item in run.report["nodes"][node]["findings"] if item["check"].startswith("boot.")]
        assert cause["verdict"] == "unknown" and "could not be looked into" in cause["summary"]
        assert len(run.report["nodes"][node]["findings"]) > 1
    run = played.run("provision", arguments=(*arguments, "--check"))
    assert not run.told("maas_boot_evidence_info")


def test_too_few_fit_nodes_fail_the_run(played: Played) -> None:
    arguments = ("-e", "min_healthy_fraction=0.95", "--limit", "fit1,sick")
    run = played.run("health", arguments=arguments)
    assert run.status == 2, run.output
    assert "1 of 2 nodes are fit" in run.output


def test_health_judges_everybody_who_is_not_held_and_admits_nobody(played: Played) -> None:
    run = played.run("health", arguments=("--limit", "fit1,sick,mute,held"))
    assert run.status == 0, run.output
    assert (run.gates["health"]["passed"], run.gates["health"]["set_aside"]) == (["fit1"], ["mute", "sick"])
    assert run.ledger == {"sick": {"health": "set_aside"}, "mute": {"health": "set_aside"}}
    assert not any(call.get("machines_present") for call in run.told("maas_tag"))


@pytest.fixture
def policy(played: Played) -> Iterator[Path]:
    """The site's health policy, for one test."""
    file = played.folder / "inventory/health_policy.yml"
    yield file
    file.unlink(missing_ok=True)


def test_a_defect_counts_as_the_site_says(played: Played, policy: Path) -> None:
    waiver = {"check": "gpu.temperature", "nodes": ["fit2"], "reason": "r", "author": "a", "expires": "2999-01-01"}
    severity = [{"check": "gpu.temperature", "verdict": "fail", "reason": "no warm GPUs here"}]
    policy.write_text(yaml.safe_dump({"severity": severity}), encoding="utf-8")
    run = played.run("health", arguments=("--limit", "fit1,fit2"))
    assert (run.gates["health"]["passed"], run.gates["health"]["set_aside"]) == (["fit1"], ["fit2"])
    over = {**waiver, "expires": "2020-01-01"}
    policy.write_text(yaml.safe_dump({"waivers": [over, waiver], "severity": severity}), encoding="utf-8")
    run = played.run("health", arguments=("--limit", "fit1,fit2"))
    assert run.gates["health"]["passed"] == ["fit1", "fit2"], run.output
    found = {(each["check"], each["verdict"]) for each in run.report["nodes"]["fit2"]["findings"]}
    assert ("gpu.temperature", "waived") in found
    assert [(each["check"], each["component"]) for each in run.report["site"]] == [("policy.waiver", "waiver:0")]
    policy.write_text(yaml.safe_dump({"waivers": [{**waiver, "nodes": ["fit3"]}]}), encoding="utf-8")
    run = played.run("health", arguments=("--limit", "fit1,fit2"))
    assert run.status == 2
    assert "not a valid group" not in run.output, "it is no part of the inventory"
    assert "waivers[0].nodes[0]: 'fit3' is the name of no node" in " ".join(run.output.split())


def test_admit_alone_admits_nobody(played: Played) -> None:
    run = played.run("admit", arguments=("--limit", "fit1"))
    assert run.status == 2, run.output
    assert "took nobody through" in run.output
    assert not run.ledger and not run.told("maas_tag")


def test_a_run_that_left_a_phase_out_admits_nobody(played: Played) -> None:
    run = played.run("provision", "configure", "validate", "admit", arguments=("--limit", "fit1,fit2"))
    assert run.status == 2, run.output
    assert run.gates["admit"]["set_aside"] == ["fit1", "fit2"]
    assert not any("in_service" in states.values() for states in run.ledger.values())


def test_where_nothing_could_be_discovered_or_measured_nobody_passes(played: Played) -> None:
    limit = ("--limit", "fit1,fit2")
    run = played.run("fabric", arguments=limit, no_discovery=True)
    assert run.gates["fabric"]["set_aside"] == ["fit1", "fit2"], run.output
    run = played.run("validate", arguments=limit, no_launch=True)
    assert run.gates["validate_together"]["set_aside"] == ["fit1", "fit2"], run.output


@pytest.fixture
def computing(played: Played) -> Iterator[Played]:
    """The site with a class that says what its GPUs compute with."""
    path = played.folder / "inventory/node_classes/lab-h100.yml"
    text = path.read_text(encoding="utf-8")
    compute = {"library": "cupy", "packages": ["cupy-cuda12x==13.6.0"]}
    path.write_text(yaml.safe_dump({**yaml.safe_load(text), "compute": compute}), encoding="utf-8")
    yield played
    path.write_text(text, encoding="utf-8")


def test_what_gpus_do_under_load_keeps_nodes_out_and_is_expected(computing: Played) -> None:
    nodes = {
        "fit1": {},
        "fit2": {"speed": 600},
        "uncabled": {"exact": "fail"},
        "silent": {"silent": ["soak"]},
        "undeployed": {"crashes": True},
        "unconfigured": {"soak": "warn"},
    }
    run = computing.run("validate", arguments=("--limit", ",".join(nodes)), computed=nodes)
    assert run.gates["validate"]["passed"] == ["fit1", "fit2", "unconfigured"], run.output
    told = {
        node: sorted(
            (item["check"], item["component"], item["verdict"]) for item in run.report["nodes"][node]["findings"]
        )
        for node in nodes
    }
    missing = [check.id for check in CHECKS.values() if check.id.startswith("compute.")]
    assert told["fit1"] == []
    assert [each for each in told["fit2"] if each[0].startswith("compute.")] == [
        ("compute.fleet", "gpu:0", "warn"),
        ("compute.fleet", "gpu:1", "warn"),
    ]
    assert told["uncabled"] == [("compute.exact", "gpu:0", "fail")]
    assert told["silent"] == [("compute.soak", "host", "unknown")]
    assert told["undeployed"] == sorted(
        [("phase.task", "task:GPU stress | Test the GPUs", "fail"), *((id_, "host", "unknown") for id_ in missing)]
    )
    assert told["unconfigured"] == [("compute.soak", "gpu:0", "warn")]


def test_a_check_of_validate_computes_nothing(computing: Played) -> None:
    run = computing.run("validate", arguments=("--limit", "fit1", "--check"), computed={"fit1": {}})
    assert run.status == 0, run.output
    found = {item["check"]: item["verdict"] for item in run.report["nodes"]["fit1"]["findings"]}
    assert (found["compute.exact"], found["compute.fleet"]) == ("warn", "warn"), found


def test_a_part_of_the_roles_does_not_make_a_node_configured(played: Played) -> None:
    run = played.run("configure", arguments=("--limit", "fit1", "--tags", "nccl"))
    assert run.gates["configure"]["set_aside"] == ["fit1"], run.output
    assert re.search("only the roles chosen by tags ran", json.dumps(run.report))
