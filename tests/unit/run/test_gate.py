# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.gate import judge_node

PASS = Finding("phase.complete", "host", Verdict.PASS, "every role ran")
FAIL = Finding("phase.task", "task:x", Verdict.FAIL, "no such package")
WARN = Finding("disk.free", "mount:/", Verdict.WARN, "86 % used")
LOST = Finding("host.reachable", "host", Verdict.UNKNOWN, "no route to host")


def test_a_node_with_every_expected_check_passing_goes_on() -> None:
    judgement = judge_node(["phase.complete"], [PASS])
    assert judgement.passed
    assert judgement.findings == []
    assert judgement.passes == {"phase.complete": ["host"]}


def test_a_warning_is_told_and_does_not_keep_a_node_out() -> None:
    judgement = judge_node(["phase.complete"], [PASS, WARN])
    assert judgement.passed
    assert judgement.findings == [WARN]


def test_what_was_waived_does_not_keep_a_node_out() -> None:
    assert judge_node(["gpu.count"], [Finding("gpu.count", "gpu:3", Verdict.WAIVED, "until the part is here")]).passed


def test_an_expected_check_that_reported_nothing_is_unknown_and_keeps_the_node_out() -> None:
    judgement = judge_node(["phase.complete"], [])
    assert not judgement.passed
    assert [(item.check, item.verdict) for item in judgement.missing] == [("phase.complete", Verdict.UNKNOWN)]
    assert "phase.complete" in judgement.reasons[0]


def test_a_failed_task_keeps_a_node_out_although_the_phase_was_completed() -> None:
    assert not judge_node(["phase.complete"], [PASS, FAIL]).passed


def test_a_failed_task_is_the_one_reason_why_the_phase_was_not_completed() -> None:
    judgement = judge_node(["phase.complete", "gpu.count"], [FAIL])
    assert [item.check for item in judgement.findings] == ["phase.task", "gpu.count"]
    assert not judgement.passed


def test_an_unreachable_node_has_that_one_reason() -> None:
    judgement = judge_node(["phase.complete", "gpu.count"], [LOST])
    assert judgement.findings == [LOST]
    assert not judgement.passed


def test_a_node_that_an_earlier_gate_set_aside_is_kept_out_without_a_further_finding() -> None:
    gate = {"passed": ["node01"], "set_aside": ["node02"]}
    assert judge_node([], [], [gate], "node01").passed
    judgement = judge_node([], [], [gate], "node02")
    assert not judgement.passed
    assert judgement.findings == []


def test_a_node_that_an_earlier_gate_never_saw_is_unknown() -> None:
    for gates in ([None], [{"passed": [], "set_aside": []}]):
        judgement = judge_node([], [], gates, "node01")
        assert not judgement.passed
        assert judgement.findings[0].verdict is Verdict.UNKNOWN
