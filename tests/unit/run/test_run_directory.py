# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json
import os
import re
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict, missing_checks, worst
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle import run as run_module
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import Gate, RunDirectory

PASS = Finding("gpu.count", "host", Verdict.PASS, "8 GPUs", observed=8, expected=8)
FAIL = Finding("gpu.count", "gpu:3", Verdict.FAIL, "gone", observed=7, expected=8, evidence={"pci": "0000:5d:00.0"})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "20261123T141000Z-ab12cd")


def test_findings_come_back_as_they_were_recorded(run: RunDirectory) -> None:
    run.record("node01", "validate", "health", [PASS, FAIL], observation={"readers": {}})
    run.record("node01", "configure", "done", [PASS])
    assert run.findings("node01", "validate") == [PASS, FAIL]
    assert run.findings("node01") == [PASS, PASS, FAIL]
    assert run.findings("node02") == []


def test_a_source_replaces_what_it_said_before(run: RunDirectory) -> None:
    run.record("node01", "validate", "health", [FAIL])
    run.record("node01", "validate", "health", [PASS])
    assert run.findings("node01") == [PASS]


def test_a_file_that_cannot_be_read_is_an_unknown(run: RunDirectory) -> None:
    run.record("node01", "validate", "health", [PASS])
    (run.path / "nodes" / "node01" / "validate.health.json").write_text('{"findings": [', encoding="utf-8")
    assert [item.verdict for item in run.findings("node01")] == [Verdict.UNKNOWN]


def test_a_writer_that_dies_leaves_the_old_file_whole(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run.record("node01", "validate", "health", [PASS])

    def dies(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module.json, "dump", dies)
    with pytest.raises(KeyboardInterrupt):
        run.record("node01", "validate", "health", [FAIL])
    monkeypatch.undo()
    assert run.findings("node01") == [PASS]
    assert len(list((run.path / "nodes" / "node01").iterdir())) == 1


def test_gates_are_kept_by_phase(run: RunDirectory) -> None:
    run.record_gate(Gate("configure", passed=["b", "a"], set_aside=["c"]))
    assert run.gates()["configure"]["passed"] == ["a", "b"]
    assert run.gates()["configure"]["final"] is False
    assert run.conclude("configure")["final"] is True
    assert run.gates()["configure"] == run.conclude("configure")
    with pytest.raises(KeyError):
        run.conclude("admit")


def test_a_run_id_sorts_by_time_and_is_unique() -> None:
    now = datetime.datetime(2026, 11, 23, 14, 10, tzinfo=datetime.timezone.utc)
    ids = {run_module.new_run_id(now) for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"20261123T141000Z-[0-9a-f]{6}", name) for name in ids)


def test_without_the_callback_the_error_says_where_to_enable_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(os.environ, run_module.ENVIRONMENT, raising=False)
    with pytest.raises(RuntimeError, match=r"callbacks_enabled.*Remedy"):
        RunDirectory.current()


def test_nothing_judged_is_unknown() -> None:
    assert worst([]) is Verdict.UNKNOWN
    assert worst([Verdict.PASS, Verdict.WARN]) is Verdict.WARN
    assert worst([Verdict.UNKNOWN, Verdict.FAIL, Verdict.PASS]) is Verdict.FAIL
    assert not Verdict.UNKNOWN.allocatable


def test_checks_without_a_finding_are_named() -> None:
    assert missing_checks(["gpu.count", "hca.count"], [PASS]) == ["hca.count"]


def test_a_finding_without_a_key_or_with_a_foreign_verdict_is_refused() -> None:
    good = PASS.to_dict()
    assert Finding.from_dict(json.loads(json.dumps(good))) == PASS
    with pytest.raises(ValueError, match="component"):
        Finding.from_dict({key: value for key, value in good.items() if key != "component"})
    with pytest.raises(ValueError, match="fine"):
        Finding.from_dict(good | {"verdict": "fine"})


def test_a_gate_that_judges_in_batches_keeps_what_it_decided_of_others(run: RunDirectory) -> None:
    run.record_gate(Gate("admit", passed=["n1"], set_aside=["n2", "n4"]))
    run.record_gate(Gate("admit", passed=["n2"], deferred=["n3"]))
    decided = run.gates()["admit"]
    assert (decided["passed"], decided["set_aside"], decided["deferred"]) == (["n1", "n2"], ["n4"], ["n3"])
