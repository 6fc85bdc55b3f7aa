# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""remediate.yml as an operator runs it: what is planned, who is left alone, what is done, proved and remembered.

MAAS and the nodes are played as in test_phases; ledger, gates, hooks and playbooks are the real ones. A stand-in for
nvidia-smi resets the GPUs, and a variable says what holds them. Preflight has tests of its own and is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import finding
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import Batch

from tests.unit.health.health_factory import put
from tests.unit.lifecycle.played_ledger import Site, findings, furnish
from tests.unit.lifecycle.test_reprovision import KILL, actions, stand
from tests.unit.run.test_phases import MODULE, Played, Run, played, shown

__all__ = ["played"]
APPLY = ("-e", "remediate_apply=true")
# The roster has twelve nodes.
ROOM = ("-e", "remediate_most=3", "-e", "remediate_alike=5")
PENDING = ("gpu.row_remap.pending", "gpu:3")
MISSING = ("gpu.count", "host")
CABLE = ("hca.state", "hca:mlx5_3/1")
LOST_GPU = shown("fit1", put("nvml|gpus|3|remapped_rows|pending", True))
EVIDENCE = """
(pathlib.Path(ARGUMENTS["directory"]) / "kernel.log").write_text("NVRM: Xid 63")
answer(files=["kernel.log"], unread={})
"""
BUSY = [
    {
        "name": "Look",
        "ansible.builtin.set_fact": {
            "__common_busy": {
                "holders": "{{ [{'pid': 7, 'label': 'process 7 (python3) with /dev/nvidia3'}]"
                " if inventory_hostname in busy_nodes | default('') else [] }}"
            }
        },
    },
    {"name": "Refuse", "ansible.builtin.assert": {"that": "__common_busy.holders | length == 0"}},
]


@pytest.fixture(scope="module")
def furnished(played: Played) -> Site:
    site = furnish(played)
    collection = played.folder / "collections/ansible_collections/firstlight/cluster"
    preflight = {"name": "Preflight", "hosts": "gpu_nodes", "gather_facts": False, "tags": ["always"], "tasks": []}
    (collection / "playbooks/preflight.yml").write_text(yaml.safe_dump([preflight]), encoding="utf-8")
    (collection / "roles/common/tasks/refuse_busy.yml").write_text(yaml.safe_dump(BUSY), encoding="utf-8")
    evidence = collection / "plugins/modules/node_evidence.py"
    evidence.unlink()
    evidence.write_text(MODULE.replace("NAME", "node_evidence").replace("BODY", EVIDENCE), encoding="utf-8")
    roster = played.folder / "inventory/hosts.yml"
    hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
    hosts["maas_deployed"] = {"hosts": dict.fromkeys(["fit1", "fit2", "sick", "held", "alone", "together"])}
    roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")
    return site


@pytest.fixture
def site(furnished: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    furnished.clear()
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/resets\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return furnished


def resets(folder: Path) -> list[str]:
    told = folder / "resets"
    return told.read_text(encoding="utf-8").splitlines() if told.exists() else []


def find(site: Site, **nodes: tuple[str, str]) -> None:
    """What a health run before found to fail, by node."""
    told = {
        node: [finding(check, component, Verdict.FAIL, f"{check} of {node}")]
        for node, (check, component) in nodes.items()
    }
    with site.open() as ledger:
        ledger.record(Batch(run="20260102T000000Z-000000", phase="health", findings=told))


def remediate(site: Site, *arguments: str, **scenario: Any) -> Run:
    return site.played.run("remediate", arguments=(*ROOM, *site.hooks, *arguments), **scenario)


def plan(site: Site) -> dict[str, Any]:
    newest = max((site.played.folder / "artifacts").glob("*/plan.json"), key=lambda path: path.stat().st_mtime_ns)
    content: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
    return content


def tickets(run: Run) -> set[str]:
    return {path.name for path in (run.folder / "artifacts/latest").resolve().glob("tickets/*.json")}


def test_without_leave_the_plan_is_told_and_nothing_is_changed(site: Site, tmp_path: Path) -> None:
    before = {"fit1": "set_aside", "fit2": "in_service", "sick": "set_aside", "held": "quarantined"}
    before |= {"alone": "set_aside", "together": "set_aside"}
    stand(site, **before)
    find(site, fit1=PENDING, fit2=PENDING, held=PENDING, sick=CABLE, alone=MISSING, together=PENDING)
    expires = site.hold("together")
    run = remediate(site, "-e", "busy_nodes=alone")
    assert run.status == 0, run.output
    told = plan(site)
    assert {node: act["remedy"] for node, act in told["acts"].items()} == {"fit1": "reset_gpu"}
    assert [(case["node"], case["group"]) for case in told["cases"]] == [("sick", "hca-mlx5_3")]
    assert told["skipped"]["alone"] == "busy: process 7 (python3) with /dev/nvidia3"
    assert told["skipped"]["held"] == "quarantined by alice@ctl: by the test"
    assert told["skipped"]["together"] == f"held by bob@elsewhere in run 20260101T000000Z-abcdef until {expires}"
    assert told["skipped"]["fit2"].endswith("-e remediate_in_service=true takes it from its users")
    assert "Nothing was changed" in run.output and "gpu.row_remap.pending gpu:3" in run.output
    assert (site.orders, site.states(), list(site.locks()), resets(tmp_path)) == ([], before, ["together"], [])
    assert (actions(site, "fit1"), actions(site, "sick")) == ([], [])
    assert not run.told("maas_tag") and not run.told("node_evidence")
    assert "changed=0" in run.output and "changed=1" not in run.output


def test_a_remedy_is_made_proved_and_remembered_and_tickets_are_written_once(site: Site, tmp_path: Path) -> None:
    stand(site, fit1="in_service", sick="set_aside", fit2="in_service")
    find(site, fit1=PENDING, sick=CABLE)
    run = remediate(site, *APPLY, "-e", "remediate_in_service=true")
    assert run.status == 0, run.output
    assert resets(tmp_path) == ["--gpu-reset"]
    assert [(order["action"], order["nodes"]) for order in site.orders] == [("drain", ["fit1"]), ("undrain", ["fit1"])]
    assert site.states() == {"fit1": "in_service", "sick": "set_aside", "fit2": "in_service"}
    assert run.report["nodes"].keys() == {"fit1"}
    made = [entry for entry in actions(site, "fit1") if "gpu." in entry[1]]
    assert made == [
        ("reset_gpu", "gpu.row_remap.pending gpu:3"),
        ("remedy_proved", "reset_gpu for gpu.row_remap.pending"),
    ]
    with site.open() as ledger:
        assert "fit1" not in ledger.open_findings(), "closed by its proof"
    assert tickets(run) == {"sick-hca-mlx5_3.json"}
    folder = (run.folder / "artifacts/latest/tickets").resolve()
    ticket = json.loads((folder / "sick-hca-mlx5_3.json").read_text(encoding="utf-8"))
    assert (ticket["serial"], ticket["owners"], ticket["files"]) == ("S-sick", ["network"], ["sick/kernel.log"])
    assert (folder / "sick/kernel.log").read_text(encoding="utf-8") == "NVRM: Xid 63"
    assert (folder / "sick-hca-mlx5_3.md").read_text(encoding="utf-8").startswith("# sick: hca.state of sick\n")
    assert actions(site, "sick") == [("ticket_opened", "hca-mlx5_3")]
    # Again: the ticket is open, and nobody is touched.
    again = remediate(site, *APPLY)
    assert again.status == 0, again.output
    assert (len(resets(tmp_path)), len(site.orders), again.told("node_evidence")) == (1, 2, [])
    assert "open since run" in again.output and plan(site)["cases"] == []
    assert site.locks() == {}


@pytest.mark.long
def test_what_has_not_helped_is_followed_by_the_next_rung(site: Site, tmp_path: Path) -> None:
    stand(site, fit1="set_aside")
    find(site, fit1=PENDING)
    bad = {"observations": site.played.scenario["observations"] | {"fit1": LOST_GPU}}
    run = remediate(site, *APPLY, **bad)
    assert run.status == 2, run.output
    assert (site.states(), site.locks(), resets(tmp_path)) == ({"fit1": "set_aside"}, {}, ["--gpu-reset"])
    assert findings(run.report, "fit1")["gpu.row_remap.pending"]["verdict"] == "fail"
    assert ("remedy_failed", "reset_gpu for gpu.row_remap.pending") in actions(site, "fit1")
    assert run.told("all_reduce") == [], "who is not proved goes no further"
    assert remediate(site).status == 0
    assert plan(site)["acts"]["fit1"]["remedy"] == "reboot"


@pytest.mark.long
def test_a_run_that_was_killed_is_run_again(site: Site, tmp_path: Path) -> None:
    stand(site, fit1="in_service")
    find(site, fit1=PENDING)
    tasks = (
        site.played.folder / "collections/ansible_collections/firstlight/cluster/playbooks/tasks/remedy_reset_gpu.yml"
    )
    text = tasks.read_text(encoding="utf-8")
    kill = {"name": "Kill", "ansible.builtin.command": {"argv": [sys.executable, "-c", KILL]}}
    tasks.write_text(yaml.safe_dump([kill]), encoding="utf-8")
    try:
        killed = remediate(site, *APPLY, "-e", "remediate_in_service=true")
    finally:
        tasks.write_text(text, encoding="utf-8")
    assert killed.status != 0
    assert (site.states(), list(site.locks())) == ({"fit1": "deployed"}, ["fit1"])
    run = remediate(site, *APPLY)
    assert run.status == 0, run.output
    assert (site.states(), site.locks(), resets(tmp_path)) == ({"fit1": "in_service"}, {}, ["--gpu-reset"])
    assert site.orders[-1]["action"] == "undrain"


@pytest.mark.long
def test_check_mode_changes_nothing(site: Site, tmp_path: Path) -> None:
    stand(site, fit1="in_service", sick="set_aside")
    find(site, fit1=PENDING, sick=CABLE)
    run = remediate(site, *APPLY, "-e", "remediate_in_service=true", "--check", "--diff")
    assert run.status == 0, run.output
    assert (site.orders, site.locks(), resets(tmp_path)) == ([], {}, [])
    assert site.states() == {"fit1": "in_service", "sick": "set_aside"}
    assert (actions(site, "fit1"), actions(site, "sick"), run.told("node_evidence")) == ([], [], [])
    assert run.report["nodes"]["fit1"]["state"] == "deferred"


def test_what_many_nodes_share_is_told_once_and_mended_on_none(site: Site, tmp_path: Path) -> None:
    many = ["fit1", "fit2", "sick", "alone"]
    stand(site, **dict.fromkeys(many, "set_aside"))
    find(site, **dict.fromkeys(many, PENDING))
    run = remediate(site, *APPLY, "-e", "remediate_alike=3")
    assert run.status == 0, run.output
    assert resets(tmp_path) == []
    assert "4 of 12 nodes fail alike, more than remediate_alike (3): it is not the nodes" in run.output
    assert actions(site, "alone") == [("ticket_opened", "alike-gpu.row_remap.pending")]
    # With a sound node the ticket is closed, and opened no second time by the others.
    with site.open() as ledger:
        every = {"gpu.row_remap.pending": ["*"]}
        ledger.record(Batch(run="20270101T000000Z-000000", phase="health", passed={"alone": every}))
    remediate(site, *APPLY, "-e", "remediate_alike=2")
    assert actions(site, "alone")[-1] == ("ticket_closed", "alike-gpu.row_remap.pending")
    assert len(actions(site, "fit1")) == 1


def test_a_node_in_maintenance_is_left_alone_by_every_run(site: Site, tmp_path: Path) -> None:
    stand(site, fit1="in_service", fit2="in_service")
    find(site, fit1=PENDING)
    window = {"nodes": ["fit1"], "from": "2020-01-01T00:00Z", "until": "2999-01-01T00:00Z"}
    policy = site.played.folder / "inventory/health_policy.yml"
    policy.write_text(yaml.safe_dump({"maintenance": [{**window, "reason": "coolers", "author": "ops"}]}), "utf-8")
    try:
        run = remediate(site, *APPLY, "-e", "remediate_in_service=true")
        bad = {"observations": site.played.scenario["observations"] | {"fit1": LOST_GPU}}
        judged = site.played.run("health", arguments=("--limit", "fit1,fit2", "-e", "min_healthy_fraction=0.5"), **bad)
        report = judged.report
        asked = site.played.run("health", arguments=("--limit", "fit1"))
    finally:
        policy.unlink()
    words = "in maintenance until 2999-01-01T00:00Z by ops: coolers"
    assert (run.status, plan(site)["skipped"]["fit1"], resets(tmp_path)) == (0, words, [])
    assert judged.status == 0, judged.output
    assert {node: entry["state"] for node, entry in report["nodes"].items()} == {
        "fit1": "unjudged",
        "fit2": "admitted",
    }
    told = findings(report, "fit1")
    assert (told["lifecycle.maintenance"]["summary"], told["lifecycle.maintenance"]["verdict"]) == (words, "waived")
    assert asked.status == 2 and "none of these nodes takes part: 1 in maintenance" in " ".join(asked.output.split())
    assert site.states() == {"fit1": "in_service", "fit2": "in_service"}
