# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves behind: any file in its directory, any ledger. Broken ones are told, and count as nothing good."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict, missing_checks, worst
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.gate import judge_node
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import (
    Batch,
    StateChange,
    open_copy,
    open_ledger,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.report import build_report
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import Gate, RunDirectory
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State, Step, decide
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import ROOT
from tests.unit.properties.junk import BYTES, JSON, TEXTS, mutated_bytes

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "plugins/module_utils/schemas/report.schema.json").read_text(encoding="utf-8"))
)
FINDINGS = st.builds(
    Finding,
    st.sampled_from(["gpu.count", "disk.free", "phase.complete", "phase.task", "host.reachable"]),
    st.sampled_from(["host", "gpu:3"]),
    st.sampled_from(Verdict),
    TEXTS,
    observed=st.none() | st.integers() | TEXTS,
    remedy=TEXTS,
    owner=TEXTS,
    evidence=st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2),
)
PASS = Finding("phase.complete", "host", Verdict.PASS, "every role ran")
STORED = json.dumps({"schema": 1, "findings": [PASS.to_dict()]})
DECIDED = json.dumps(Gate("configure", ["node01"], ["node02"]).to_dict())
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
KNOWN = {"node01": {"class": "c", "serial": "s", "location": "r1/1"}}
PHASES = [{"name": "configure", "seconds": 1.0, "nodes_in": 1, "nodes_out": 1}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


# -- findings


@given(FINDINGS)
def test_a_finding_survives_its_json(finding: Finding) -> None:
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict()))) == finding


@given(JSON | st.dictionaries(st.sampled_from(sorted(PASS.to_dict())), JSON))
def test_anything_else_is_refused_or_whole(data: Any) -> None:
    try:
        finding = Finding.from_dict(data)
    except (ValueError, TypeError):
        return
    assert finding.verdict in Verdict


@given(st.lists(st.sampled_from(Verdict)))
def test_the_worst_is_the_worst_in_any_order(verdicts: list[Verdict]) -> None:
    assert worst(verdicts) is worst(verdicts[::-1])
    assert worst([]) is Verdict.UNKNOWN
    if verdicts:
        assert worst(verdicts).allocatable == all(verdict.allocatable for verdict in verdicts)


# -- the gate


CHECKS = st.lists(st.sampled_from(["gpu.count", "phase.complete", "disk.free"]))


@given(CHECKS, st.lists(FINDINGS, max_size=6))
def test_a_node_passes_with_every_expected_check_and_nothing_against_it_and_no_other_does(
    expected: list[str], findings: list[Finding]
) -> None:
    judged = judge_node(expected, findings)
    against = [item for item in findings if not item.verdict.allocatable]
    assert judged.passed is not bool(against or missing_checks(expected, findings))
    assert judged.passed is judge_node(expected[::-1], findings[::-1]).passed
    assert judged.passed is not bool(judged.reasons)


@given(st.lists(FINDINGS, max_size=4), st.sampled_from(["passed", "set_aside", "neither", "absent"]))
def test_only_a_node_that_passed_an_earlier_gate_passes_the_next(findings: list[Finding], earlier: str) -> None:
    gate: dict[str, list[str]] = {"passed": [], "set_aside": []}
    if earlier in gate:
        gate[earlier].append("node01")
    judged = judge_node([], findings, [None if earlier == "absent" else gate], "node01")
    assert judged.passed <= (earlier == "passed")


# -- the run directory


@given(mutated_bytes(STORED) | BYTES | st.just(b"[" * 20_000))
def test_any_file_of_findings_is_read_or_is_an_unknown(folder: Path, content: bytes) -> None:
    run = RunDirectory(folder / "20260101T000000Z-000000")
    run.record("node01", "configure", "roles", [PASS])
    (run.path / "nodes/node01/configure.roles.json").write_bytes(content)
    findings = run.findings("node01", "configure")
    try:
        whole = isinstance(json.loads(content)["findings"], list)
    except (ValueError, TypeError, KeyError, RecursionError):
        whole = False
    assert whole or worst(item.verdict for item in findings) is Verdict.UNKNOWN
    report = build_report(run, "site.yml", KNOWN, {}, PHASES, completed=True, ended=NOW)
    SCHEMA.validate(json.loads(json.dumps(report)))


@given(mutated_bytes(DECIDED) | BYTES | st.just(b"[" * 20_000) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_of_a_gate_admits_nobody_whom_it_does_not_name(folder: Path, content: bytes) -> None:
    run = RunDirectory(folder / "20260101T000000Z-000001")
    run.record_gate(Gate("configure", ["node01"]))
    (run.path / "gates/configure.json").write_bytes(content)
    report = build_report(run, "site.yml", KNOWN | {"node07": {}}, {}, PHASES, completed=True, ended=NOW)
    SCHEMA.validate(json.loads(json.dumps(report)))
    assert report["nodes"]["node07"]["state"] == "unjudged" or b"node07" in content
    if report["nodes"]["node01"]["state"] == "admitted":
        assert "node01" in json.loads(content)["passed"]


@given(st.lists(FINDINGS, max_size=4), st.lists(FINDINGS, max_size=4))
def test_what_is_recorded_is_what_is_read(folder: Path, one: list[Finding], other: list[Finding]) -> None:
    run = RunDirectory(folder / "20260101T000000Z-000002")
    run.record("node01", "validate", "a", one, {"readers": {}})
    run.record("node01", "validate", "b", other)
    assert run.findings("node01", "validate") == [*one, *other]


# -- states and the ledger


@given(st.none() | st.sampled_from(State), st.sampled_from(State), st.sampled_from(Step))
def test_only_a_release_ends_a_quarantine(current: State | None, wanted: State, step: Step) -> None:
    decision = decide(current, wanted, step)
    assert not (decision.moves and decision.refused)
    if current is State.QUARANTINED and decision.moves:
        assert step is Step.RELEASE


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with open_ledger(str(path)) as ledger:
        ledger.record(
            Batch(
                run="r1",
                phase="validate",
                states=[StateChange("node01", State.IN_SERVICE), StateChange("node02", State.SET_ASIDE)],
                findings={"node02": [Finding("gpu.count", "gpu:3", Verdict.FAIL, "7 of 8")]},
                passed={"node01": {"gpu.count": ["host"]}},
            )
        )
    return path.read_bytes()


@given(st.data())
def test_any_ledger_is_read_or_refused_by_its_name(folder: Path, good: bytes, data: st.DataObject) -> None:
    """Cut off, overwritten, or no ledger at all: never taken for an empty one, and never a crash."""
    content = bytearray(good)
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=8)):
        junk = data.draw(st.binary(min_size=1, max_size=40))
        content[place : place + len(junk)] = junk
    content = content[: data.draw(st.just(len(good)) | st.integers(1, len(good)))]
    if data.draw(st.booleans()):  # a word of the content, which SQLite cannot know to be wrong
        word = data.draw(st.sampled_from([b"in_service", b"set_aside", b'"gpu.count"', b'"verdict"', b"r1"]))
        content = content.replace(word, bytes(reversed(word)))
    path = folder / "ledger.db"
    for left in folder.glob("ledger.db*"):
        left.unlink()
    path.write_bytes(bytes(content))
    _attempt(_read, path)
    _attempt(_write, path)


def _attempt(use: Callable[[str], None], path: Path) -> None:
    try:
        use(str(path))
    except LedgerError as error:
        assert str(path) in str(error)


def _read(path: str) -> None:
    with open_copy(path) as ledger:
        ledger.nodes(), ledger.open_findings(), ledger.locks(), ledger.history("node01"), ledger.export()


def _write(path: str) -> None:
    with open_ledger(path) as ledger:
        ledger.record(Batch(run="r2", phase="admit", states=[StateChange("node01", State.IN_SERVICE)]))


@given(BYTES.filter(bool))
def test_what_is_no_ledger_is_refused(folder: Path, content: bytes) -> None:
    path = folder / "none.db"
    for left in folder.glob("none.db*"):
        left.unlink()
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        _read(str(path))


def test_a_ledger_of_another_program_is_refused(folder: Path) -> None:
    path = folder / "foreign.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE nodes (something TEXT)")
    with pytest.raises(LedgerError):
        _write(str(path))
