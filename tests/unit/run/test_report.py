# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.report import STATES, build_report
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import Gate, RunDirectory

SCHEMA = Path(__file__).parents[3] / "plugins" / "module_utils" / "schemas" / "report.schema.json"
NODES = {name: {"class": "lab-h100", "serial": f"S-{name}", "location": "r1/1"} for name in ("a", "b", "c", "d")}
ENDED = datetime.datetime(2026, 11, 23, 15, 2, 41, tzinfo=datetime.timezone.utc)
PASS = Finding("gpu.count", "host", Verdict.PASS, "8 GPUs")
FAIL = Finding("gpu.count", "gpu:3", Verdict.FAIL, "gone")
LOST = Finding("host.reachable", "host", Verdict.UNKNOWN, "no route to host")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "20261123T141000Z-ab12cd")


def conclude(run: RunDirectory) -> None:
    run.conclude(sorted(run.gates())[0])


def report(run: RunDirectory, phases: list[str], completed: bool) -> dict[str, Any]:
    told = [{"name": name, "seconds": 1.0, "nodes_in": 4, "nodes_out": 4} for name in phases]
    built = build_report(run, "site", NODES, {"head01": {"state": "ok"}}, told, completed, ended=ENDED)
    jsonschema.validate(built, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert sum(built["summary"][key] for key in STATES) == 4
    return built


def test_every_node_has_exactly_one_state(run: RunDirectory) -> None:
    run.record("a", "validate", "health", [PASS])
    run.record("b", "validate", "health", [FAIL])
    run.record("c", "validate", "health", [LOST])
    run.record_gate(Gate("validate", passed=["a"], set_aside=["b", "c"], deferred=["d"]))
    run.record_gate(Gate("admit", passed=["a"], set_aside=["b", "c"], deferred=["d"]))
    conclude(run)
    built = report(run, ["validate", "admit"], completed=True)
    assert {name: node["state"] for name, node in built["nodes"].items()} == {
        "a": "admitted",
        "b": "set_aside",
        "c": "unreachable",
        "d": "deferred",
    }
    assert built["nodes"]["a"]["passed"] == 1
    assert built["nodes"]["b"]["findings"][0]["component"] == "gpu:3"


def test_only_the_last_gate_admits(run: RunDirectory) -> None:
    run.record_gate(Gate("validate", passed=["a", "b"], set_aside=["c", "d"]))
    run.record_gate(Gate("admit", passed=["a"], set_aside=[]))
    states = {name: node["state"] for name, node in report(run, ["validate", "admit"], completed=True)["nodes"].items()}
    assert states == {"a": "admitted", "b": "unjudged", "c": "set_aside", "d": "set_aside"}


def test_a_run_that_stopped_admits_nobody(run: RunDirectory) -> None:
    run.record_gate(Gate("configure", passed=list(NODES)))
    built = report(run, ["configure", "fabric"], completed=False)
    assert built["summary"]["unjudged"] == 4
    assert built["nodes"]["a"]["findings"] == [], "what stopped the run says why, once"


def test_a_run_that_stopped_in_preflight_judged_nobody(run: RunDirectory) -> None:
    assert report(run, ["preflight"], completed=False)["summary"]["unjudged"] == 4


def test_bad_news_keeps_a_node_out_that_no_gate_has_judged(run: RunDirectory) -> None:
    run.record("a", "validate", "health", [FAIL])
    run.record("b", "validate", "health", [PASS])
    states = {name: node["state"] for name, node in report(run, ["validate"], completed=False)["nodes"].items()}
    assert states == {"a": "set_aside", "b": "unjudged", "c": "unjudged", "d": "unjudged"}


def test_too_few_admitted_fails_the_run_and_admits_the_others(run: RunDirectory) -> None:
    run.record_gate(Gate("admit", passed=["a"], set_aside=["b", "c", "d"]))
    conclude(run)
    summary = report(run, ["admit"], completed=False)["summary"]
    assert (summary["admitted"], summary["set_aside"]) == (1, 3)


def test_a_quarantined_node_has_the_one_reason_that_begin_gave(run: RunDirectory) -> None:
    run.record("d", "begin", "lifecycle", [Finding("lifecycle.quarantined", "host", Verdict.FAIL, "held by alice")])
    run.record_gate(Gate("health", passed=["a", "b", "c"]))
    conclude(run)
    node = report(run, ["health"], completed=True)["nodes"]["d"]
    assert node["state"] == "set_aside"
    assert [item["check"] for item in node["findings"]] == ["lifecycle.quarantined"]


def test_findings_about_no_node_are_told_apart(run: RunDirectory) -> None:
    run.record_site("fabric", "cables", [Finding("fabric.link.missing", "link:leaf-01/33", Verdict.FAIL, "gone"), PASS])
    run.record_gate(Gate("fabric", passed=list(NODES)))
    built = report(run, ["fabric"], completed=True)
    assert [item["component"] for item in built["site"]] == ["link:leaf-01/33"]
    assert built["summary"]["admitted"] == 4


def test_a_last_gate_that_was_not_concluded_admits_nobody(run: RunDirectory) -> None:
    """The ledger could not be written, or the tag not set."""
    run.record_gate(Gate("admit", passed=list(NODES)))
    assert report(run, ["admit"], completed=False)["summary"]["admitted"] == 0


def test_a_node_that_no_gate_saw_is_not_admitted(run: RunDirectory) -> None:
    run.record_gate(Gate("health", passed=["a", "b", "c"]))
    conclude(run)
    built = report(run, ["health"], completed=True)
    assert built["nodes"]["d"]["state"] == "unjudged"


def test_a_finding_says_which_phase_judged_it_and_where_it_lies(run: RunDirectory) -> None:
    run.record("a", "validate", "node_health", [FAIL], observation={"readers": {}})
    run.record("b", "configure", "phase.task", [FAIL])
    run.record_site("fabric", "cables", [FAIL])
    run.record_gate(Gate("validate", set_aside=["a", "b"]))
    built = report(run, ["validate"], completed=False)
    told = [item for name in ("a", "b", "c") for item in built["nodes"][name]["findings"]] + built["site"]
    assert [(item["phase"], item["files"]) for item in told] == [
        ("validate", ["nodes/a/validate.node_health.json", "nodes/a/validate.node_health.observation.json"]),
        ("configure", ["nodes/b/configure.phase.task.json"]),
        ("fabric", ["site/fabric.cables.json"]),
    ]
    assert all((run.path / file).is_file() for item in told for file in item["files"])


def test_a_phase_names_the_file_of_its_gate(run: RunDirectory) -> None:
    run.record_gate(Gate("validate", passed=["a"]))
    built = report(run, ["preflight", "validate"], completed=True)
    assert [phase["gate"] for phase in built["phases"]] == ["", "gates/validate.json"]


def test_a_report_says_when_and_what_stopped_it(run: RunDirectory) -> None:
    stop = {"phase": "preflight", "task": "Check", "hosts": ["a"], "message": "no"}
    built = build_report(run, "site", NODES, {}, [], False, ended=ENDED, stopped_by=[stop])
    jsonschema.validate(built, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (built["started"], built["ended"]) == ("2026-11-23T14:10:00Z", "2026-11-23T15:02:41Z")
    assert (built["completed"], built["stopped_by"]) == (False, [stop])
