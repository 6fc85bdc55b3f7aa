# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site makes of findings: a waiver covers what it names until its last day, and nothing that is not known."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, WAIVABLE
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.policy import (
    apply,
    expired,
    ladders,
    maintained,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import RunDirectory

TODAY = datetime.date(2026, 11, 23)
FAIL = Finding("hca.rate", "hca:mlx5_3", Verdict.FAIL, "200 Gb/s", remedy="Clean it.", evidence={"port": 1})
WAIVER = {"check": "hca.rate", "reason": "cable is ordered", "author": "ops", "expires": "2026-11-23"}


def taken(finding: Finding = FAIL, node: str = "node017", **waiver: Any) -> Finding:
    (found,) = apply({"waivers": [{**WAIVER, **waiver}]}, node, [finding], TODAY)
    return found


def test_a_waived_defect_is_told_with_who_decided_and_what_it_was() -> None:
    found = taken()
    assert found.verdict is Verdict.WAIVED
    assert found.summary == "200 Gb/s (waived by ops until 2026-11-23 as fail: cable is ordered)"
    assert found.evidence == {
        "port": 1,
        "waiver": {"reason": "cable is ordered", "author": "ops", "expires": "2026-11-23"},
    }
    assert (found.component, found.remedy) == (FAIL.component, FAIL.remedy)


@pytest.mark.parametrize(
    "waiver",
    [
        {"check": "hca.state"},
        {"expires": "2026-11-22"},
        {"nodes": ["node01", "node018", "node1*"]},
        {"components": ["hca:mlx5_2", "mlx5_3"]},
        {"nodes": ["node017"], "components": ["hca:mlx5_4"]},
    ],
)
def test_a_waiver_covers_nothing_else(waiver: dict[str, Any]) -> None:
    assert taken(**waiver) == FAIL


@pytest.mark.parametrize("waiver", [{"nodes": ["node0*"]}, {"components": ["hca:*"]}, {"nodes": ["a", "node017"]}])
def test_names_are_patterns(waiver: dict[str, Any]) -> None:
    assert taken(**waiver).verdict is Verdict.WAIVED


def test_what_is_of_no_node_is_waived_only_everywhere() -> None:
    assert taken(node="").verdict is Verdict.WAIVED
    assert taken(node="", nodes=["*"]) == FAIL


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.PASS])
def test_only_a_defect_is_taken_otherwise(verdict: Verdict) -> None:
    found = Finding("hca.rate", "hca:mlx5_3", verdict, "")
    assert taken(found) == found
    policy = {"severity": [{"check": "hca.rate", "verdict": "warn", "reason": "ours"}]}
    assert apply(policy, "a", [found], TODAY) == [found]


@pytest.mark.parametrize(("judged", "wanted"), [("fail", "warn"), ("warn", "fail")])
def test_a_site_says_how_bad_a_defect_is(judged: str, wanted: str) -> None:
    policy = {"severity": [{"check": "hca.rate", "verdict": wanted, "reason": "ours"}]}
    other = Finding("hca.state", "hca:mlx5_3", Verdict(judged), "")
    found, untouched = apply(policy, "a", [Finding("hca.rate", "host", Verdict(judged), ""), other], TODAY)
    assert found.verdict.value == wanted
    assert found.evidence["severity"] == {"judged": judged, "reason": "ours"}
    assert untouched == other


def test_a_waiver_that_is_over_is_told() -> None:
    policy = {"waivers": [WAIVER, {**WAIVER, "expires": "2026-11-22", "nodes": ["node017"]}]}
    (told,) = expired(policy, TODAY)
    assert (told.check, told.component, told.verdict) == ("policy.waiver", "waiver:1", Verdict.WARN)
    assert told.summary == "ops waived hca.rate on node017 until 2026-11-22: cable is ordered"
    assert told.remedy


def test_nobody_can_waive_that_a_node_answers_or_came_through_a_phase() -> None:
    runs = ("phase", "lifecycle", "repair", "provision", "gate")
    never = {id_ for id_ in CHECKS if id_.split(".")[0] in runs and not id_.startswith("lifecycle.part.")}
    assert not {"host.reachable", "policy.waiver", *never} & set(WAIVABLE)
    assert {"gpu.xid", "compute.exact", "fabric.link.missing", "collective.pair", "bmc.answers"} <= set(WAIVABLE)


def test_all_that_a_run_stores_is_taken_as_its_site_takes_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "20261123T141000Z-ab12cd")
    run.record("node017", "validate", "before", [FAIL])
    run.take_policy({"waivers": [WAIVER]})
    run.record("node017", "validate", "health", [FAIL])
    run.record_site("fabric", "cables", [FAIL])
    assert [found.verdict.value for found in run.findings("node017")] == ["fail", "waived"]
    assert [item.finding.verdict.value for item in run.recorded_site()] == ["waived"]
    # A day later the same run directory would be another run's: its own beginning counts.
    later = RunDirectory(tmp_path / "20261124T000000Z-ab12cd")
    later.take_policy({"waivers": [WAIVER]})
    later.record("node017", "validate", "health", [FAIL])
    assert later.findings("node017") == [FAIL]


WINDOW = {
    "from": "2026-11-23T08:00+01:00",
    "until": "2026-11-23T18:00+01:00",
    "reason": "new coolers",
    "author": "ops",
}


def at_work(node: str, rack: str, hour: int, **where: list[str]) -> str:
    now = datetime.datetime(2026, 11, 23, hour, tzinfo=datetime.timezone.utc)
    return maintained({"maintenance": [WINDOW | where]}, node, rack, now)


@pytest.mark.parametrize(
    ("node", "rack", "hour", "where", "held"),
    [
        ("node017", "r1", 12, {"nodes": ["node017"]}, True),
        ("node017", "r1", 12, {"nodes": ["node0*"]}, True),
        ("node018", "r1", 12, {"nodes": ["node017"]}, False),
        ("node018", "r1", 12, {"racks": ["r1"]}, True),
        ("node018", "r2", 12, {"racks": ["r1"]}, False),
        ("node018", "r1", 12, {"nodes": ["node017"], "racks": ["r1"]}, True),
        ("node018", "", 12, {"racks": ["*"]}, False),
        # By the zone that is written: from 7 to 17 o'clock UTC, and not at its end any longer.
        ("node017", "r1", 6, {"nodes": ["*"]}, False),
        ("node017", "r1", 7, {"nodes": ["*"]}, True),
        ("node017", "r1", 17, {"nodes": ["*"]}, False),
    ],
)
def test_who_works_on_a_node_is_told(node: str, rack: str, hour: int, where: dict[str, list[str]], held: bool) -> None:
    words = "in maintenance until 2026-11-23T18:00+01:00 by ops: new coolers"
    assert at_work(node, rack, hour, **where) == (words if held else "")


def test_ladders_of_the_site() -> None:
    entry = {"check": "docker.daemon", "ladder": ["restart_service", "ticket"], "reason": "ours"}
    assert ladders({"remedies": [entry]}) == {"docker.daemon": ["restart_service", "ticket"]}
    assert ladders({}) == {}
