# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group, pairs, culprit, proof: what is measured and how each node is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.collective import campaign, judge
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.localise import Cause
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.measure import Measurement, Status
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict

NODES = ["node01", "node02", "node03", "node04"]
Answer = Callable[[frozenset[str], int], float | Status]


class Site:
    """Answers by a rule: GB/s, or a status without any. Records what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, groups: Sequence[Sequence[str]]) -> list[Measurement]:
        assert len({host for group in groups for host in group}) == sum(len(group) for group in groups)
        return [self._one(tuple(group)) for group in groups]

    def _one(self, hosts: tuple[str, ...]) -> Measurement:
        self.asked.append(hosts)
        answer = self.answer(frozenset(hosts), self.asked.count(hosts))
        if isinstance(answer, Status):
            return Measurement(hosts, answer, detail="hung" if answer is Status.FAILED else "no launcher")
        return Measurement(hosts, Status.OK, answer, answer)


def bad_nodes(*bad: str, value: float | Status = 4.0) -> Answer:
    return lambda hosts, _: value if hosts & set(bad) else 40.0


def verdicts(findings: dict[str, list[Finding]], check: str) -> dict[str, str]:
    return {host: each.verdict.value for host, found in findings.items() for each in found if each.check == check}


def run(site: Site, nodes: Sequence[str] = NODES, floor: float = 30.0, **options: object) -> campaign.Campaign:
    return campaign.run(nodes, site, floor=floor, **options)  # type: ignore[arg-type]


def test_a_good_group_needs_one_run() -> None:
    site = Site(bad_nodes())
    result = run(site)
    assert site.asked == [tuple(NODES)]
    found = judge.judge_inter(NODES, result)
    assert verdicts(found, "collective.inter") == dict.fromkeys(NODES, "pass")
    assert verdicts(found, "collective.pair") == {}


@pytest.mark.parametrize("value", [4.0, Status.FAILED])
def test_the_slow_node_is_named_and_the_others_are_proved(value: float | Status) -> None:
    site = Site(bad_nodes("node02", value=value))
    result = run(site)
    found = judge.judge_inter(NODES, result)
    passed = {"node01": "pass", "node02": "fail", "node03": "pass", "node04": "pass"}
    assert verdicts(found, "collective.inter") == passed
    assert verdicts(found, "collective.pair") == passed
    assert site.asked[-1] == ("node01", "node03", "node04")
    named = next(each for each in found["node02"] if each.check == "collective.pair")
    assert named.component == "host"
    assert set(named.evidence["pairs"]) == {"node01", "node03", "node04"}


def test_a_slow_path_is_a_warning_on_both_ends() -> None:
    site = Site(lambda hosts, _: 4.0 if {"node01", "node03"} <= hosts else 40.0)
    found = judge.judge_inter(NODES, run(site))
    assert verdicts(found, "collective.inter") == {
        "node01": "warn",
        "node02": "pass",
        "node03": "warn",
        "node04": "pass",
    }
    pairs = {
        host: [each for each in each_found if each.check == "collective.pair"] for host, each_found in found.items()
    }
    assert [each.component for each in pairs["node01"]] == ["pair:node03"]
    assert [each.component for each in pairs["node03"]] == ["pair:node01"]
    assert pairs["node01"][0].verdict is Verdict.WARN


def test_a_path_that_carries_nothing_is_a_failure_on_both_ends() -> None:
    site = Site(lambda hosts, _: Status.FAILED if {"node01", "node03"} <= hosts else 40.0)
    found = judge.judge_inter(NODES, run(site))
    assert verdicts(found, "collective.inter") == {
        "node01": "fail",
        "node02": "pass",
        "node03": "fail",
        "node04": "pass",
    }


def test_a_pair_that_is_slow_once_sets_nobody_aside_and_is_told() -> None:
    slow_the_first_time = {frozenset({"node01", partner}) for partner in ("node03", "node04")}
    site = Site(lambda hosts, time: 4.0 if "node02" in hosts or (time == 1 and hosts in slow_the_first_time) else 40.0)
    found = judge.judge_inter(NODES, run(site))
    assert verdicts(found, "collective.inter") == {
        "node01": "pass",
        "node02": "fail",
        "node03": "pass",
        "node04": "pass",
    }
    told = {each.component: each for each in found["node01"] if each.check == "collective.pair"}
    assert {component: each.verdict.value for component, each in told.items()} == {
        "pair:node03": "warn",
        "pair:node04": "warn",
    }
    assert "slow once between node01 and node03 (4 GB/s)" in told["pair:node03"].summary


def test_a_slow_pair_that_fails_when_measured_again_has_failed() -> None:
    site = Site(
        lambda hosts, time: (
            [4.0, Status.FAILED][time - 1] if hosts == {"node01", "node03"} else 40.0 if len(hosts) < 4 else 4.0
        )
    )
    found = judge.judge_inter(NODES, run(site))
    assert verdicts(found, "collective.inter")["node01"] == "fail"


def test_all_slow_clears_nobody() -> None:
    result = run(Site(lambda hosts, _: 4.0))
    assert result.localisation is not None
    assert result.localisation.cause is Cause.ALL_SLOW
    assert result.proof is None
    assert verdicts(judge.judge_inter(NODES, result), "collective.inter") == dict.fromkeys(NODES, "unknown")


def test_a_group_that_is_slow_though_every_pair_is_fast_clears_nobody() -> None:
    result = run(Site(lambda hosts, _: 40.0 if len(hosts) == 2 else 4.0))
    found = judge.judge_inter(NODES, result)
    assert verdicts(found, "collective.inter") == dict.fromkeys(NODES, "unknown")
    assert verdicts(found, "collective.pair") == dict.fromkeys(NODES, "pass")


def test_a_group_that_was_slow_once_is_a_warning() -> None:
    result = run(Site(lambda hosts, time: 4.0 if len(hosts) == 4 and time == 1 else 40.0))
    assert verdicts(judge.judge_inter(NODES, result), "collective.inter") == dict.fromkeys(NODES, "warn")


def test_no_launcher_is_unknown_and_no_pair_is_tried() -> None:
    site = Site(lambda hosts, _: Status.UNMEASURED)
    found = judge.judge_inter(NODES, run(site))
    assert site.asked == [tuple(NODES)]
    assert verdicts(found, "collective.inter") == dict.fromkeys(NODES, "unknown")


def test_without_localisation_nobody_is_cleared() -> None:
    site = Site(bad_nodes("node02"))
    found = judge.judge_inter(NODES, run(site, localise_slow=False))
    assert site.asked == [tuple(NODES)]
    assert verdicts(found, "collective.inter") == dict.fromkeys(NODES, "unknown")


def test_pairs_cut_off_by_the_deadline_leave_their_nodes_unknown() -> None:
    site = Site(
        lambda hosts, _: (
            Status.UNMEASURED if "node04" in hosts and len(hosts) == 2 else 4.0 if len(hosts) == 4 else 40.0
        )
    )
    found = judge.judge_inter(NODES, run(site))
    assert verdicts(found, "collective.pair")["node04"] == "unknown"
    assert verdicts(found, "collective.inter")["node04"] == "unknown"
    assert verdicts(found, "collective.inter")["node01"] == "pass"


@pytest.mark.parametrize("bad", [["n07"], ["n07", "n08"], ["n07", "n09"], ["n00", "n20", "n40"]])
def test_a_large_fleet_takes_a_ring_and_a_second_look(bad: list[str]) -> None:
    nodes = [f"n{number:02}" for number in range(41)]
    site = Site(bad_nodes(*bad))
    result = run(site, nodes)
    found = judge.judge_inter(nodes, result)
    assert [host for host, verdict in verdicts(found, "collective.inter").items() if verdict != "pass"] == bad
    assert len(site.asked) <= 1 + len(nodes) + 2 * 2 * 4 * len(bad) + 1
    assert result.proof is not None
    assert len(result.proof.hosts) == len(nodes) - len(bad)


def test_two_nodes_cannot_be_told_apart_but_a_reference_tells() -> None:
    both = judge.judge_inter(["node01", "node02"], run(Site(bad_nodes("node02")), ["node01", "node02"]))
    assert verdicts(both, "collective.inter") == {"node01": "unknown", "node02": "unknown"}
    result = run(Site(bad_nodes("node02")), ["node02", "node01", "node03"])
    assert verdicts(judge.judge_inter(["node02"], result), "collective.inter") == {"node02": "fail"}


@pytest.mark.parametrize(
    ("measurement", "verdict"),
    [
        (Measurement(("node01",), Status.OK, 470.0, 300.0), Verdict.PASS),
        (Measurement(("node01",), Status.OK, 459.0, 300.0), Verdict.FAIL),
        (Measurement(("node01",), Status.FAILED, detail="hung"), Verdict.FAIL),
        (Measurement(("node01",), Status.UNMEASURED, detail="no such program"), Verdict.UNKNOWN),
    ],
)
def test_inside_a_node(measurement: Measurement, verdict: Verdict) -> None:
    found = judge.judge_intra(measurement, 460.0)
    assert (found.check, found.component, found.verdict) == ("collective.intra", "host", verdict)
    assert found.owner
    assert bool(found.remedy) is (verdict is not Verdict.PASS)


def test_a_node_alone_is_unknown() -> None:
    assert judge.judge_alone("node02").verdict is Verdict.UNKNOWN
