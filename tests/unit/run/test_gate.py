# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.gate import Judgement, alike, judge_node

PASS = Finding("phase.complete", "host", Verdict.PASS, "every role ran")
FAIL = Finding("phase.task", "task:x", Verdict.FAIL, "no such package")
WARN = Finding("disk.free", "mount:/", Verdict.WARN, "86 % used")
LOST = Finding("host.reachable", "host", Verdict.UNKNOWN, "no route to host")


def test_a_node_with_every_expected_check_passing_goes_on() -> None:
    judgement = judge_node(["phase.complete"], [PASS])
    assert judgement.passed
    assert judgement.findings == []
    assert judgement.passes == {"phase.complete": ["*"]}


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


# -- what is told of passing


def told(check: str, verdict: Verdict, *components: str) -> list[Finding]:
    return [Finding(check, component, verdict, "as it is") for component in components]


def passes(*findings: list[Finding]) -> dict[str, list[str]]:
    return judge_node([], [item for group in findings for item in group]).passes


ALL_THERE = told("gpu.count", Verdict.PASS, "host")
SEVEN = [f"gpu:{slot}" for slot in range(8) if slot != 3]


def test_a_check_with_nothing_but_passes_passed_wholly_whatever_it_calls_its_components() -> None:
    assert passes(told("systemd.failed", Verdict.PASS, "host")) == {"systemd.failed": ["*"]}
    assert passes(told("disk.free", Verdict.PASS, "mount:/", "mount:/data")) == {"disk.free": ["*"]}
    assert passes(ALL_THERE, told("gpu.temperature", Verdict.PASS, "gpu:0", "gpu:1"))["gpu.temperature"] == ["*"]


@pytest.mark.parametrize("verdict", [Verdict.WARN, Verdict.UNKNOWN, Verdict.FAIL, Verdict.WAIVED])
def test_of_a_check_that_did_not_pass_throughout_only_what_passed_is_told(verdict: Verdict) -> None:
    good, bad = told("gpu.temperature", Verdict.PASS, "gpu:1", "gpu:0"), told("gpu.temperature", verdict, "gpu:3")
    assert passes(ALL_THERE, good, bad)["gpu.temperature"] == ["gpu:0", "gpu:1"]
    assert passes(ALL_THERE, told("gpu.temperature", Verdict.PASS, "gpu:3"), bad) == {"gpu.count": ["*"]}
    assert passes(told("gpu.xid", verdict, "gpu:3")) == {}


@pytest.mark.parametrize(
    "count",
    [
        told("gpu.count", Verdict.FAIL, "gpu:3"),
        told("gpu.count", Verdict.FAIL, "host"),
        told("gpu.count", Verdict.UNKNOWN, "host"),
        [],
    ],
    ids=["one is missing", "it is not known which", "not counted", "not asked"],
)
def test_a_part_that_is_not_there_did_not_pass_with_the_others(count: list[Finding]) -> None:
    """Nobody judged the missing GPU: what is open of it stays open."""
    assert passes(count, told("gpu.ecc.uncorrected", Verdict.PASS, *SEVEN)) == {"gpu.ecc.uncorrected": SEVEN}
    assert passes(count, told("gpu.driver.version", Verdict.PASS, "host")) == {"gpu.driver.version": ["*"]}


def test_what_the_gate_itself_adds_speaks_against_a_pass() -> None:
    assert judge_node([], [PASS], [None], "node01").passes == {}


def test_a_part_too_many_is_none_that_is_missing() -> None:
    count = told("hca.count", Verdict.WARN, "hca:mlx5_9")
    assert passes(count, told("hca.state", Verdict.PASS, "hca:mlx5_0")) == {"hca.state": ["*"]}


def test_nodes_that_came_out_alike_are_told_together() -> None:
    whole, other = {"gpu.count": ["*"], "disk.free": ["*"]}, {"disk.free": ["mount:/"]}
    outcomes = {"node03": whole, "node01": {**whole}, "node02": other, "node04": {}}
    judged = {name: Judgement([], [], outcome) for name, outcome in outcomes.items()}
    assert alike(judged) == [{"nodes": ["node03", "node01"], "checks": whole}, {"nodes": ["node02"], "checks": other}]


def test_what_is_told_of_passing_grows_with_the_checks_and_not_with_nodes_and_parts() -> None:
    """A large site: 511 nodes, 200 checks, eight parts each. A node that differs costs its own checks."""
    parts = [f"gpu:{slot}" for slot in range(8)]
    healthy = [*ALL_THERE, *(item for number in range(199) for item in told(f"gpu.{number}", Verdict.PASS, *parts))]
    hot = [item for item in healthy if (item.check, item.component) != ("gpu.7", "gpu:5")]
    hot += told("gpu.7", Verdict.FAIL, "gpu:5")
    judged = dict.fromkeys((f"node{number:03}" for number in range(510)), judge_node([], healthy))
    told_of = alike({**judged, "node510": judge_node([], hot)})
    assert [len(entry["checks"]) for entry in told_of] == [200, 200]
    assert sum(len(components) for entry in told_of for components in entry["checks"].values()) == 200 + 199 + 7
