# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes provisioned anew as an operator does it after a repair: who is refused, what is done and what is proved.

MAAS, BMCs and the nodes are played as in test_phases; ledger, gates, hooks and playbooks are the real ones. Preflight,
which needs a site's secrets and its MAAS, has tests of its own and is left out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_history import drained
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import Batch, StateChange
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State

from tests.unit.health.health_factory import put
from tests.unit.lifecycle.played_ledger import Site, findings, furnish
from tests.unit.run.test_phases import ROOT, SITE, Played, Run, played, shown

__all__ = ["played"]
FIT1 = ("--limit", "fit1")
LONG = pytest.mark.long
TAKE = ("-e", "reprovision_in_service=true")
STEPS = [
    "choose",
    "preflight",
    "withdraw",
    "capture",
    "identify",
    "free",
    "commission",
    "provision",
    "configure",
    "fabric",
    "validate",
    "validate_together",
    "compare",
    "admit",
]
# Kills the run that it is part of.
KILL = """
import json, os, signal
with open(os.path.join(os.environ["FIRSTLIGHT_RUN_DIRECTORY"], "process.json")) as process:
    os.kill(json.load(process)["pid"], signal.SIGKILL)
"""
# What the role reads: of a node the serial that the variable `told` says, or its own.
READ_BMC = [
    {"name": "Ask", "ansible.builtin.assert": {"that": "inventory_hostname != bmc_silent | default('')"}},
    {
        "name": "Hand over",
        "ansible.builtin.set_fact": {
            "bmc_identity": {"serial": "{{ (told | default({}))[inventory_hostname] | default(serial_number) }}"},
            "bmc_machine": {"power_type": "redfish", "mac_addresses": ["mac of {{ inventory_hostname }}"]},
        },
    },
]
LOG_IN = ("-e", "bmc_address=bmc-1 bmc_user=root bmc_password=secret")


@pytest.fixture(scope="module")
def furnished(played: Played) -> Site:
    site = furnish(played)
    collection = played.folder / "collections/ansible_collections/firstlight/cluster"
    preflight = {"name": "Preflight", "hosts": "gpu_nodes", "gather_facts": False, "tags": ["always"]}
    (collection / "playbooks/preflight.yml").write_text(
        yaml.safe_dump([{**preflight, "vars": {"firstlight_phase": "preflight"}, "tasks": []}]), encoding="utf-8"
    )
    told = {"name": "Tell", "ansible.builtin.debug": {"msg": "BMC of {{ inventory_hostname }}: {{ bmc_firmware }}."}}
    refuse = {"name": "Refuse", "ansible.builtin.assert": {"that": "inventory_hostname != 'sick'"}}
    (collection / "roles/bmc/tasks/enrol.yml").write_text(yaml.safe_dump(READ_BMC), encoding="utf-8")
    (collection / "roles/bmc/tasks/main.yml").write_text(yaml.safe_dump([told, refuse]), encoding="utf-8")
    seconds = {"name": "Say how long", "ansible.builtin.set_fact": {"bmc_seconds": 60}}
    (collection / "roles/bmc/tasks/seconds.yml").write_text(yaml.safe_dump([seconds]), encoding="utf-8")
    return site


@pytest.fixture
def site(furnished: Site) -> Site:
    furnished.clear()
    return furnished


def reprovision(site: Site, *arguments: str, **scenario: Any) -> Run:
    return site.played.run("reprovision", arguments=(*arguments, *site.hooks), **scenario)


def stand(site: Site, **states: str) -> None:
    """What the ledger knows before."""
    changes = [StateChange(node, State(state), reason="by the test") for node, state in states.items()]
    with site.open() as ledger:
        ledger.record(Batch(run="20260101T000000Z-000000", phase="test", operator="alice@ctl", states=changes))


def actions(site: Site, node: str) -> list[tuple[str, str]]:
    with site.open() as ledger:
        return [(each["action"], each["detail"]) for each in ledger.actions(node)]


def machines(run: Run, state: str) -> list[list[str]]:
    """The machines of each call that asked MAAS for `state`."""
    calls = [call for call in run.told("maas_machine") if call["state"] == state]
    return [sorted(machine["name"] for machine in call["machines"]) for call in calls]


def with_gpu(serial: str) -> str:
    identity = f"GPU-{serial}"
    return shown("fit1", put("nvml|gpus|3|serial", serial), put("nvml|gpus|3|uuid", identity))


def observed(site: Site, **changed: str) -> dict[str, str]:
    return {**site.played.scenario["observations"], **changed}


# -- refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-e", "repaired=fit1,fti2"), "repaired: fti2: no GPU node of the inventory, or left out by --limit"),
        (("--limit", "fit1,fit2"), "fit2 is in service since"),
        (("--limit", "fit1,alone"), "alone is held by bob@elsewhere in run 20260101T000000Z-abcdef until"),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                ((), "--limit: is missing, and all nodes cannot be meant"),
                (("--limit", "fit1,fti2"), "--limit: the inventory has no fti2"),
                (("-e", "repaired=fit1,head"), "repaired: head: no GPU node of the inventory"),
                (
                    ("--limit", "fit2", "-e", "repaired=fit1"),
                    "repaired: fit1: no GPU node of the inventory, or left out by",
                ),
                (
                    (*FIT1, "-e", "reprovision_erase=all"),
                    "reprovision_erase: there is no all. Remedy: choose from none, quick",
                ),
                ((*FIT1, "--tags", "nccl"), "--tags, --skip-tags: a new system needs every role"),
                (
                    ("-e", "repaired=fit1,fit2"),
                    "(-e reprovision_in_service=true takes it from its users). Nothing was changed",
                ),
                (("--limit", "fit1,held"), "held is quarantined by alice@ctl: by the test (release.yml ends it)"),
                (("--limit", "fit1,later"), "later is planned, so there is nothing to work on"),
                (("--limit", "later"), "none of these nodes takes part: 1 planned"),
            ]
        ),
    ],
)
def test_what_must_not_be_touched_is_refused_before_anything_changes(
    site: Site, arguments: Sequence[str], words: str
) -> None:
    before = {"fit1": "set_aside", "fit2": "in_service", "held": "quarantined"}
    stand(site, **before)
    site.hold("alone")
    run = reprovision(site, *arguments)
    assert run.status == 2, run.output
    assert words in " ".join(run.output.split())
    assert (site.orders, site.states(), list(site.locks())) == ([], before, ["alone"])
    assert not run.told("maas_tag")
    assert not run.told("maas_machine")
    assert "gave them back" not in run.output


def test_a_scheduler_that_does_not_let_go_ends_the_run(site: Site) -> None:
    stand(site, fit1="set_aside")
    site.answer("3")
    run = reprovision(site, *FIT1)
    assert run.status == 2, run.output
    assert "refused (exit status 3): job 4711 runs" in findings(run.report, "fit1")["lifecycle.drained"]["summary"]
    assert "Nothing was changed" in run.output
    assert (site.states(), site.locks()) == ({"fit1": "set_aside"}, {})
    assert not run.told("maas_machine")


# -- done


@pytest.mark.long
def test_a_repaired_node_is_provisioned_anew_and_the_exchange_is_told(site: Site) -> None:
    """The drill: found bad, set aside, a GPU exchanged, provisioned anew, proved, admitted."""
    down = put("infiniband|devices|mlx5_3|ports|1|state", "DOWN")
    bad = shown("fit1", put("nvml|gpus|3|serial", "OLD"), put("nvml|gpus|3|uuid", "GPU-OLD"), down)
    assert site.played.run(*SITE, arguments=("--limit", "fit1,fit2")).status == 0
    assert site.played.run("health", arguments=FIT1, observations=observed(site, fit1=bad)).status == 2
    assert site.states() == {"fit1": "set_aside", "fit2": "in_service"}

    run = reprovision(
        site, *FIT1, "-e", "reprovision_erase=quick", *LOG_IN, observations=observed(site, fit1=with_gpu("NEW"))
    )
    assert run.status == 0, run.output
    assert site.states() == {"fit1": "in_service", "fit2": "in_service"}
    assert run.report["nodes"].keys() == {"fit1"}
    assert run.report["nodes"]["fit1"]["state"] == "admitted"
    assert [phase["name"] for phase in run.report["phases"]] == STEPS
    assert (machines(run, "released"), machines(run, "deployed")) == ([["fit1"]], [["fit1"]])
    released, commissioned, deployed = run.told("maas_machine")
    assert released["erase"] == "quick"
    assert (commissioned["state"], commissioned["testing_scripts"]) == ("recommissioned", [])
    (known,) = commissioned["machines"]
    assert (known["power_type"], known["mac_addresses"]) == ("redfish", ["mac of fit1"])
    assert known["serial_of_bmc"] is True
    assert deployed["machines"][0]["os_disk"] == {"model": "Firstlight NVMe*", "size_gb": {"min": 1800}}
    told = findings(run.report, "fit1")["repair.parts"]
    assert told["verdict"] == "warn"
    assert re.search(r"gpu 0000:\S+: OLD -> NEW \(before: run ", told["summary"])
    told = findings(run.report, "fit1")["lifecycle.part.swapped"]
    assert (told["component"], told["verdict"]) == ("gpu:3", "warn")
    assert re.match(
        r"gpu 0000:\S+: 1650000000003-fit1 -> NEW since run \S+, unlike when .* proved last", told["summary"]
    )
    done = [action for action, _detail in actions(site, "fit1")]
    assert done[-6:] == ["drained", "part_swapped", "released", "commissioned", "deployed", "undrained"]
    assert ("released", "erase: quick; repaired") in actions(site, "fit1")
    assert [order["action"] for order in site.orders] == ["drain", "undrain"]
    assert (run.folder / "artifacts/latest/nodes/fit1/before.node_health.observation.json").exists()
    with site.open() as ledger:
        came = [(step["from_state"], step["to_state"]) for step in ledger.history("fit1")]
        assert drained(ledger) == []
    assert came[-4:] == [
        ("set_aside", "enrolled"),
        ("enrolled", "deployed"),
        ("deployed", "configured"),
        ("configured", "in_service"),
    ]
    (together,) = [call for call in run.told("all_reduce") if call.get("scope") != "intra"]
    assert (together["hosts"], together["references"]) == (["fit1"], ["fit2"])
    assert site.locks() == {}


def test_a_node_that_is_still_bad_is_set_aside_and_so_is_no_other(site: Site) -> None:
    stand(site, fit1="set_aside", mute="set_aside", undeployed="set_aside")
    run = reprovision(site, "-e", "repaired=fit1,mute,undeployed")
    assert run.status == 0, run.output
    assert site.states() == {"fit1": "in_service", "mute": "set_aside", "undeployed": "set_aside"}
    states = {name: node["state"] for name, node in run.report["nodes"].items()}
    assert states == {"fit1": "admitted", "mute": "set_aside", "undeployed": "set_aside"}
    assert machines(run, "deployed") == [["fit1", "mute"]], "what MAAS does not release is not deployed"
    assert findings(run.report, "undeployed")["repair.release"]["summary"] == "no power"
    assert "not compared" in findings(run.report, "undeployed")["repair.parts"]["summary"]
    undrained = [order["nodes"] for order in site.orders if order["action"] == "undrain"]
    assert undrained == [["fit1"]]
    assert site.locks() == {}


@pytest.mark.long
def test_a_machine_that_fails_its_commissioning_is_set_aside_with_script_and_cause(site: Site) -> None:
    nodes = "-e", "repaired=fit1,fit2,sick"
    tests = {"reprovision_testing_scripts": ["memory"], "reprovision_commission_timeout": 9000}
    erased = "-e", "reprovision_erase=secure"
    run = reprovision(site, *nodes, *erased, "-e", json.dumps(tests), uncommissioned=["fit2"], free=["sick"])
    assert run.status == 0, run.output
    assert machines(run, "released") == machines(run, "recommissioned") == [["fit1", "fit2", "sick"]]
    assert machines(run, "deployed") == [["fit1", "sick"]]
    released, commissioned, _deployed = run.told("maas_machine")
    assert commissioned["testing_scripts"] == ["memory"]
    assert released["timeout"] == commissioned["timeout"] == 9000, "a killed run may have begun these tests"
    assert run.gates["commission"]["set_aside"] == ["fit2"]
    found = findings(run.report, "fit2")
    assert found["repair.commission"]["summary"] == "Scripts: memtester (Failed)"
    assert found["boot.unexplained"]["verdict"] == "unknown", "the triage looked into it"
    assert run.told("maas_boot_evidence_info")[0]["system_ids"] == ["id of fit2"]
    assert not [action for action, _detail in actions(site, "fit2") if action == "commissioned"]
    free = findings(run.report, "sick")["repair.release"]
    assert (free["verdict"], free["summary"][:43]) == ("warn", "it was free already, or on the way to it: i")
    assert "repair.release" not in findings(run.report, "fit1")
    assert (site.states()["fit2"], site.locks()) == ("set_aside", {})


@pytest.mark.long
def test_commissioning_may_be_left_out(site: Site) -> None:
    run = reprovision(site, *FIT1, "-e", "reprovision_commission=false", uncommissioned=["fit1"])
    assert run.status == 0, run.output
    assert machines(run, "recommissioned") == []
    folder = (run.folder / "artifacts/latest/nodes/fit1").resolve()
    told = json.loads((folder / "commission.repair.commission.json").read_text())["findings"][0]
    assert (told["verdict"], told["summary"]) == ("pass", "left out: reprovision_commission is false")


@pytest.mark.parametrize(
    ("variables", "aside", "words"),
    [
        # One address in two places of the roster; two that were swapped, by each of what may know it.
        (
            {"told": {"fit1": "S-X", "fit2": "s-x"}},
            ["fit1", "fit2"],
            "which is that of fit2 by its BMC: two bmc_address",
        ),
        pytest.param(
            {"told": {"fit1": "S-sick"}}, ["fit1"], "serial S-sick, which is that of sick in the roster", marks=LONG
        ),
        pytest.param({"told": {"fit1": "M1"}, "maas": {"serial": "M1"}}, ["fit1"], "fit2 in MAAS, ", marks=LONG),
        pytest.param({"told": {"fit1": "L1"}}, ["fit1"], "which is that of alone in the ledger", marks=LONG),
    ],
)
def test_a_machine_that_is_another_nodes_keeps_its_disks(
    site: Site, variables: dict[str, Any], aside: list[str], words: str
) -> None:
    changes = [StateChange("alone", State("enrolled"), serial="L1")]
    with site.open() as ledger:
        ledger.record(Batch(run="20260101T000000Z-000000", phase="test", operator="alice@ctl", states=changes))
    run = reprovision(site, "-e", "repaired=fit1,fit2", *LOG_IN, "-e", json.dumps(variables))
    assert run.gates["identify"]["set_aside"] == aside, run.output
    assert words in findings(run.report, "fit1")["repair.identity"]["summary"]
    assert machines(run, "released") == ([["fit2"]] if aside == ["fit1"] else [])


@pytest.mark.long
def test_a_machine_whose_bmc_tells_no_serial_goes_on_with_a_warning(site: Site) -> None:
    run = reprovision(site, "--limit", "fit1", *LOG_IN, "-e", json.dumps({"told": {"fit1": ""}}))
    told = findings(run.report, "fit1")["repair.identity"]
    assert (told["verdict"], told["summary"]) == ("warn", "its BMC answers, and tells no serial")
    assert machines(run, "released") == [["fit1"]]


@pytest.mark.long
def test_a_machine_whose_bmc_cannot_be_read_keeps_its_disks(site: Site) -> None:
    run = reprovision(site, "-e", "repaired=fit1,alone", *LOG_IN, "-e", "bmc_silent=alone")
    assert run.gates["identify"]["set_aside"] == ["alone"], run.output
    told = findings(run.report, "alone")["repair.identity"]["summary"]
    assert told == "its BMC was not read, so nothing was erased: the node keeps its disks"
    assert machines(run, "released") == [["fit1"]]


@pytest.mark.long
@pytest.mark.parametrize("node", ["mute", "undeployed"])
def test_too_many_that_are_still_bad_fail_the_run(site: Site, node: str) -> None:
    """Also where nobody came as far as to be deployed."""
    run = reprovision(site, "--limit", node, "-e", "min_healthy_fraction=0.95")
    assert run.status == 2, run.output
    assert "0 of 1 nodes are fit" in run.output
    assert (site.states(), site.locks()) == ({node: "set_aside"}, {})


@pytest.mark.long
def test_a_node_in_service_is_taken_when_that_is_said(site: Site) -> None:
    stand(site, fit1="in_service")
    run = reprovision(site, *FIT1, *TAKE, "-e", '{"reprovision_reason": "new image"}')
    assert run.status == 0, run.output
    first = run.told("maas_tag")[0]
    assert [machine["serial"] for machine in first["machines_absent"]] == ["S-fit1"]
    assert run.told("maas_machine")[0]["in_service_tag"] == "in_service"
    assert [order["reason"] for order in site.orders] == ["new image", "admitted"]
    with site.open() as ledger:
        steps = [(step["from_state"], step["to_state"], step["reason"]) for step in ledger.history("fit1")]
    assert ("in_service", "enrolled", "provisioned anew: new image") in steps
    assert site.states() == {"fit1": "in_service"}


@pytest.mark.long
def test_a_node_that_does_not_answer_is_released_all_the_same(site: Site) -> None:
    stand(site, fit1="set_aside")
    nowhere = '{"__silent_in": ["capture"], "ansible_host": "127.0.0.1", "ansible_port": 1}'
    run = reprovision(site, *FIT1, "-e", nowhere)
    assert run.status == 0, run.output
    found = findings(run.report, "fit1")
    assert found["repair.evidence"]["verdict"] == "warn"
    assert "nothing could be read before its release: not reached" in found["repair.evidence"]["summary"]
    assert "host.reachable" not in found, "how it was before is no verdict on how it is"
    assert found["repair.parts"]["summary"].startswith("not compared: it was not read both before and after")
    assert site.states() == {"fit1": "in_service"}


@pytest.mark.parametrize(
    ("firmware", "arguments", "asked"),
    [
        pytest.param([], LOG_IN, False, marks=LONG),
        pytest.param(["BIOS"], (), False, marks=LONG),
        (["BIOS"], LOG_IN, True),
    ],
)
def test_the_bmc_is_asked_once_where_class_and_inventory_have_it(
    site: Site, firmware: list[str], arguments: Sequence[str], asked: bool
) -> None:
    path = site.played.folder / "inventory/node_classes/lab-h100.yml"
    text = path.read_text(encoding="utf-8")
    wanted = [{"component": name, "version": "2.1", "image_uri": "http://mirror/bios.exe"} for name in firmware]
    path.write_text(yaml.safe_dump({**yaml.safe_load(text), "firmware": wanted}), encoding="utf-8")
    try:
        run = reprovision(site, "--limit", "fit1,sick", *arguments)
    finally:
        path.write_text(text, encoding="utf-8")
    assert run.status == 0, run.output
    assert run.output.count("BMC of fit1") == asked, "provision does not ask it again"
    assert ("bmc" in run.gates) is asked
    if asked:
        assert run.gates["bmc"]["set_aside"] == ["sick"]
        assert machines(run, "released")[0] == ["fit1", "sick"], "what MAAS would do is asked before"
    assert machines(run, "released")[-1] == (["fit1"] if asked else ["fit1", "sick"]), "a refused BMC keeps the disks"


@pytest.mark.parametrize("name", ["free.yml", "commission.yml"])
def test_the_nodes_are_held_for_as_long_as_maas_may_be_waited_for(name: str) -> None:
    """Each gate holds them for the usual time anew, so that the lock does not show it afterwards."""
    tasks = yaml.safe_load((ROOT / "playbooks/tasks" / name).read_text(encoding="utf-8"))
    (lock,) = [task["firstlight.cluster.ledger"] for task in tasks if "firstlight.cluster.ledger" in task]
    (call,) = [task["firstlight.cluster.maas_machine"] for task in tasks if "firstlight.cluster.maas_machine" in task]
    wait = call["timeout"].removesuffix("}}").strip("{ ").removesuffix(" | float")
    assert wait in lock["lock_seconds"]


@LONG
@pytest.mark.parametrize("tasks_file", ["commission.yml", "deploy.yml"])
def test_a_run_that_was_killed_is_run_again(site: Site, tasks_file: str) -> None:
    """It had released the node, and held it."""
    stand(site, fit1="set_aside")
    tasks = site.played.folder / "collections/ansible_collections/firstlight/cluster/playbooks/tasks" / tasks_file
    text = tasks.read_text(encoding="utf-8")
    kill = {"name": "Kill", "ansible.builtin.command": {"argv": [sys.executable, "-c", KILL]}}
    tasks.write_text(yaml.safe_dump([kill]), encoding="utf-8")
    try:
        killed = reprovision(site, *FIT1)
    finally:
        tasks.write_text(text, encoding="utf-8")
    assert killed.status != 0
    assert site.states() == {"fit1": "enrolled"}
    assert list(site.locks()) == ["fit1"]
    run = reprovision(site, *FIT1)
    assert run.status == 0, run.output
    assert site.states() == {"fit1": "in_service"}
    assert site.locks() == {}


@pytest.mark.long
def test_check_mode_changes_nothing_and_defers_what_cannot_be_foretold(site: Site, tmp_path: Path) -> None:
    stand(site, fit1="in_service", fit2="set_aside")
    # As MAAS goes on to say of machines that check mode has not released.
    deployed = tmp_path / "deployed.yml"
    deployed.write_text(yaml.safe_dump({"maas_deployed": {"hosts": {"fit1": {}, "fit2": {}}}}), encoding="utf-8")
    before = Path(site.path).read_bytes()
    arguments = ("-i", str(deployed), "-e", "repaired=fit1,fit2,undeployed", *TAKE, "--check", "--diff")
    run = reprovision(site, *arguments)
    assert run.status == 0, run.output
    assert Path(site.path).read_bytes() == before
    assert site.orders == []
    states = {name: node["state"] for name, node in run.report["nodes"].items()}
    assert states == {"fit1": "deferred", "fit2": "deferred", "undeployed": "set_aside"}
    assert "configuring" not in run.output
    assert not run.told("all_reduce")
    assert machines(run, "released") == [["fit1", "fit2", "undeployed"]]
    assert run.told("maas_machine")[0]["in_service_tag"] == ""
    assert machines(run, "recommissioned") == []
    folder = (run.folder / "artifacts/latest/nodes/fit1").resolve()
    told = json.loads((folder / "commission.repair.commission.json").read_text())["findings"][0]
    assert told["summary"] == "MAAS would commission it again"
