# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as JUnit XML: what is bad is red, what passed is named, and no node that is out looks green."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.report import build_report
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import BEFORE, Gate, RunDirectory
from ansible_collections.firstlight.cluster.plugins.plugin_utils.report_junit import render

ENDED = datetime.datetime(2026, 11, 23, 15, 2, 41, tzinfo=datetime.timezone.utc)
NODE = {"class": "lab-h100", "serial": "S-1", "location": "r1/1"}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "20261123T141000Z-ab12cd")


def junit(run: RunDirectory, *nodes: str, completed: bool = True, **more: Any) -> ElementTree.Element:
    phases = [{"name": "validate", "seconds": 1.0, "nodes_in": 1, "nodes_out": 1}]
    told = build_report(run, "site", dict.fromkeys(nodes, NODE), {}, phases, completed, ended=ENDED, **more)
    return ElementTree.fromstring(render(run, told))


def cases(document: ElementTree.Element, suite: str) -> dict[str, str]:
    """What became of each case of a suite."""
    (found,) = [each for each in document if each.get("name") == suite]
    outcomes = {str(case.get("name")): case[0].tag if len(case) else "passed" for case in found.iter("testcase")}
    counted = {key: int(str(found.get(key))) for key in ("tests", "failures", "errors", "skipped")}
    values = [*outcomes.values()]
    assert counted == {
        "tests": len(values),
        "failures": values.count("failure"),
        "errors": values.count("error"),
        "skipped": values.count("skipped"),
    }
    return outcomes


def test_a_case_for_each_check_with_the_worst_of_its_parts(run: RunDirectory) -> None:
    run.record(
        "a",
        "validate",
        "health",
        [
            Finding("host.memory", "host", Verdict.PASS, "2048 GiB"),
            Finding("gpu.ecc.uncorrected", "gpu:0", Verdict.PASS, "0 errors"),
            Finding("gpu.ecc.uncorrected", "gpu:1", Verdict.UNKNOWN, "no answer"),
            Finding("gpu.ecc.uncorrected", "gpu:2", Verdict.FAIL, "7 errors", remedy="Replace it.", owner="vendor"),
            Finding("gpu.temperature", "gpu:2", Verdict.WARN, "85 °C"),
            Finding("clock.offset", "host", Verdict.UNKNOWN, "no chrony"),
            Finding("disk.free", "mount:/", Verdict.WAIVED, "97 %"),
        ],
    )
    run.record_gate(Gate("validate", set_aside=["a"]))
    document = junit(run, "a")
    assert cases(document, "a") == {
        "host.memory": "passed",
        "gpu.ecc.uncorrected": "failure",
        "gpu.temperature": "system-out",
        "clock.offset": "error",
        "disk.free": "skipped",
    }
    failure = document.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "7 errors"
    assert failure.text == "unknown gpu:1: no answer\nfail gpu:2: 7 errors\n  vendor: Replace it."
    told = {each.get("name"): each.get("value") for each in document.iter("property")}
    assert told == {"state": "set_aside", "class": "lab-h100", "serial": "S-1", "location": "r1/1"}
    assert {case.get("classname") for case in document.iter("testcase")} == {"a.validate"}


def test_a_node_of_which_nothing_is_known_is_red(run: RunDirectory) -> None:
    run.record("b", "validate", "health", [Finding("host.memory", "host", Verdict.PASS, "2048 GiB")])
    run.record("c", "validate", "health", [Finding("host.memory", "host", Verdict.PASS, "2048 GiB")])
    run.record_gate(Gate("validate", passed=["c"]))
    run.conclude("validate")
    document = junit(run, "a", "b", "c", completed=False)
    assert cases(document, "a") == {"state": "error"}
    assert cases(document, "b") == {"host.memory": "passed", "state": "error"}
    assert cases(document, "c") == {"host.memory": "passed"}


def test_what_stopped_the_run_and_what_is_of_no_node_have_suites(run: RunDirectory) -> None:
    run.record_site("fabric", "cables", [Finding("fabric.link.missing", "link:a/1", Verdict.FAIL, "no link")])
    stopped = [{"phase": "services", "task": "Install", "hosts": ["head01", "head02"], "message": "no package"}]
    document = junit(run, completed=False, stopped_by=stopped)
    assert cases(document, "site") == {"fabric.link.missing": "failure"}
    assert cases(document, "run") == {"Install": "failure"}
    assert [suite.get("name") for suite in junit(RunDirectory(run.path.with_name("20261123T141000Z-000000")))] == []


def test_what_was_before_a_repair_is_no_result(run: RunDirectory) -> None:
    run.record("a", BEFORE, "health", [Finding("host.memory", "host", Verdict.FAIL, "1024 GiB")])
    run.record("a", "validate", "health", [Finding("host.memory", "host", Verdict.PASS, "2048 GiB")])
    run.record_gate(Gate("validate", passed=["a"]))
    assert cases(junit(run, "a"), "a") == {"host.memory": "passed"}


def test_texts_of_machines_break_no_document(run: RunDirectory) -> None:
    text = "<&\"' \x1b[31m \x00 \ud800 \ufffe ]]>"
    run.record("a", "validate", "health", [Finding("gpu.xid", "gpu:1", Verdict.FAIL, text, remedy=text)])
    run.record_gate(Gate("validate", set_aside=["a"]))
    failure = junit(run, "a").find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "<&\"' \ufffd[31m \ufffd \ufffd \ufffd ]]>"
