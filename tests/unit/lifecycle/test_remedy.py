# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done about open findings: which rung is next, who is left alone, and when it is not the nodes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.filter.remedy_outcomes import FilterModule as Outcomes
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, NODE_HEALTH
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.remedies import (
    DEFAULT,
    LADDERS,
    REMEDIES,
    TICKET,
    XID_LADDERS,
    refusal,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.xid import BUCKETS
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.remedy import (
    Limits,
    Open,
    Plan,
    Standing,
    Tried,
    ladder_of,
    make_plan,
    next_rung,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = "2026-11-30T12:00:00.000000Z"
BEFORE, AFTER = "2026-11-30T11:00:00.000000Z", "2026-11-30T13:00:00.000000Z"
WIDE = Limits(100, 100)
FREE = Standing()


def open_finding(check: str, component: str = "host", verdict: str = "fail", **more: Any) -> Open:
    return Open(Finding(check, component, Verdict(verdict), f"{check} is bad", **more), NOW)


PENDING = open_finding("gpu.row_remap.pending", "gpu:3")
DOCKER = open_finding("docker.daemon")


def planned(
    found: dict[str, list[Open]],
    roster: dict[str, Standing] | None = None,
    tried: dict[str, list[Tried]] | None = None,
    limits: Limits = WIDE,
    own: dict[str, list[str]] | None = None,
) -> Plan:
    return make_plan(roster or dict.fromkeys(found, FREE), found, tried or {}, limits, own or {})


# -- the ladders


@pytest.mark.parametrize("check", sorted(LADDERS))
def test_every_ladder_is_of_a_check_and_can_be_climbed(check: str) -> None:
    assert check in NODE_HEALTH
    assert refusal(check, LADDERS[check]) == ""


@pytest.mark.parametrize("check", NODE_HEALTH)
def test_whatever_node_health_finds_has_a_ladder_that_ends_with_people(check: str) -> None:
    assert ladder_of(open_finding(check).finding, {})[-1] == TICKET
    # Users and the network are not mended on the node.
    if CHECKS[check].owner in ("user", "network"):
        assert LADDERS.get(check, DEFAULT) == DEFAULT


def test_every_bucket_of_xids_that_speaks_of_a_defect_has_a_ladder() -> None:
    assert set(XID_LADDERS) == set(BUCKETS) - {"app", "ignore", "info"}
    assert all(refusal("gpu.xid", ladder) == "" for ladder in XID_LADDERS.values())


@pytest.mark.parametrize(
    ("check", "ladder", "words"),
    [
        ("gpu.count", ("reboot", "reset_gpu", "ticket"), "must stand in the order restart_service, reload_module,"),
        ("gpu.count", ("reboot", "reboot", "ticket"), "must stand in the order"),
        ("gpu.count", ("reboot",), "must end with ticket"),
        ("gpu.count", ("restart_service", "ticket"), "no service belongs to gpu.count; restart_service is for"),
        ("gpu.count", ("reload_module", "ticket"), "no kernel module belongs to gpu.count"),
    ],
)
def test_a_ladder_that_leads_nowhere_is_refused(check: str, ladder: tuple[str, ...], words: str) -> None:
    assert words in refusal(check, ladder)


@pytest.mark.parametrize(
    ("codes", "first"),
    [
        ([48], "reset_gpu"),
        ([79], "reboot"),
        ([48, 79], "reset_gpu"),
        ([64, 48], "ticket"),
        ([13], "ticket"),
        ([], "ticket"),
    ],
)
def test_an_xid_is_remedied_as_its_bucket_says(codes: list[int], first: str) -> None:
    events = [{"code": code, "text": ""} for code in codes]
    assert next_rung(open_finding("gpu.xid", "gpu:3", evidence={"events": events}), (), {}) == first


# -- the next rung


@pytest.mark.parametrize(
    ("tried", "rung"),
    [
        ([], "reset_gpu"),
        # Found again after it: the next.
        ([("reset_gpu", BEFORE)], "reboot"),
        ([("reset_gpu", BEFORE), ("reboot", BEFORE)], "ticket"),
        ([("reboot", BEFORE)], "ticket"),
        # Begun, and not judged since: the run was killed. Once more, and not for ever.
        ([("reset_gpu", AFTER)], "reset_gpu"),
        ([("reset_gpu", AFTER), ("reset_gpu", AFTER)], "reboot"),
        ([("reboot", AFTER)], "reboot"),
        ([("reset_gpu", BEFORE), ("reboot", AFTER)], "reboot"),
        ([("reprovision", BEFORE)], "ticket"),
    ],
)
def test_a_remedy_that_has_not_helped_is_followed_by_the_next(tried: list[tuple[str, str]], rung: str) -> None:
    made = [Tried(remedy, "gpu.row_remap.pending", at) for remedy, at in tried]
    assert next_rung(PENDING, made, {}) == rung
    others = [Tried(remedy, "gpu.fabric.state", at) for remedy, at in tried]
    assert next_rung(PENDING, others, {}) == "reset_gpu", "what was done about another check"


@given(
    st.sampled_from([*sorted(LADDERS), "gpu.inforom"]),
    st.lists(st.tuples(st.sampled_from(REMEDIES[:-1]), st.sampled_from([BEFORE, NOW, AFTER])), max_size=8),
)
def test_a_ladder_never_goes_down(check: str, tried: list[tuple[str, str]]) -> None:
    rank = REMEDIES.index
    found = open_finding(check, "unit:a.service", observed={"missing": ["m"]})
    rung = next_rung(found, [Tried(remedy, check, at) for remedy, at in tried], {})
    assert rung in (*LADDERS.get(check, DEFAULT), TICKET)
    assert all(rank(rung) >= rank(remedy) for remedy, _at in tried)
    assert all(rank(rung) > rank(remedy) for remedy, at in tried if at < NOW)


def test_a_site_has_ladders_of_its_own() -> None:
    assert next_rung(PENDING, (), {"gpu.row_remap.pending": ["reboot", "ticket"]}) == "reboot"
    assert next_rung(DOCKER, (), {"gpu.row_remap.pending": ["ticket"]}) == "restart_service"


def test_what_could_not_be_read_is_for_people_and_waits_for_a_remedy_of_the_node() -> None:
    unread = open_finding("gpu.ecc.mode", "gpu:3", "unknown")
    plan = planned({"n1": [unread], "n2": [unread, PENDING]})
    assert [(case.node, case.group) for case in plan.cases] == [("n1", "unread")]
    assert list(plan.acts) == ["n2"]
    assert next_rung(open_finding("docker.daemon", verdict="unknown"), (), {}) == "ticket"


# -- the plan of a node


def test_one_remedy_for_a_node_the_strongest_that_one_of_its_findings_needs() -> None:
    failed = open_finding("systemd.required", "unit:docker.service")
    plan = planned({"n1": [failed, DOCKER, PENDING, open_finding("hca.rate", "hca:mlx5_3/1", owner="network")]})
    act = plan.acts["n1"]
    assert act.remedy == "reset_gpu"
    assert [finding.check for finding in act.findings] == ["systemd.required", "docker.daemon", "gpu.row_remap.pending"]
    assert act.units == ["docker.service"]
    assert [(case.group, case.findings[0].check) for case in plan.cases] == [("hca-mlx5_3", "hca.rate")]


def test_modules_that_are_missing_are_loaded_and_a_restart_follows_where_none_is_named() -> None:
    missing = open_finding("kernel.modules", observed={"missing": ["nvidia_peermem"]})
    act = planned({"n1": [missing]}).acts["n1"]
    assert (act.remedy, act.modules) == ("reload_module", ["nvidia_peermem"])
    assert planned({"n1": [open_finding("kernel.modules")]}).acts["n1"].remedy == "reboot"
    assert planned({"n1": [open_finding("systemd.failed")]}).acts == {}


def test_one_ticket_for_each_part_and_of_the_node_for_each_area() -> None:
    found = [
        open_finding("gpu.inforom", "gpu:3"),
        open_finding("gpu.memory.size", "gpu:3"),
        open_finding("disk.free"),
        open_finding("disk.inodes"),
        open_finding("cpu.count"),
        open_finding("host.reachable", verdict="unknown"),
    ]
    cases = planned({"n1": found}).cases
    assert [(case.group, len(case.findings)) for case in cases] == [("gpu-3", 2), ("disk", 2), ("cpu", 1), ("host", 1)]


def test_to_provision_anew_is_left_to_a_person() -> None:
    plan = planned({"n1": [open_finding("os.release"), DOCKER]})
    assert (plan.acts, list(plan.by_hand), plan.by_hand["n1"].remedy) == ({}, ["n1"], "reprovision")


@pytest.mark.parametrize("verdict", ["pass", "warn", "waived"])
def test_what_does_not_keep_a_node_out_is_not_remedied(verdict: str) -> None:
    plan = planned({"n1": [open_finding("docker.daemon", verdict=verdict)]})
    assert (plan.acts, plan.cases, plan.by_hand) == ({}, [], {})
    assert plan.skipped == ({"n1": "all that keeps it out is waived"} if verdict == "waived" else {})


# -- who is left alone


def test_who_must_not_be_touched_is_not_and_says_why() -> None:
    roster = {"n1": Standing(against="busy: process 7"), "n2": Standing(against="quarantined", hands_off=True)}
    inforom = open_finding("gpu.inforom", "gpu:1")
    plan = planned({key: [PENDING, inforom] for key in roster}, roster)
    assert plan.acts == plan.by_hand == {}
    assert plan.skipped == {"n1": "busy: process 7", "n2": "quarantined"}
    assert [case.node for case in plan.cases] == ["n1"], "a ticket touches nobody; what somebody has in hand needs none"


def test_over_the_cap_nodes_wait_and_those_with_users_first() -> None:
    roster = {"n1": Standing(in_service=True), "n2": FREE, "n3": FREE, "n4": FREE}
    plan = planned({key: [PENDING] for key in roster}, roster, limits=Limits(2, 100))
    assert list(plan.acts) == ["n2", "n3"]
    assert plan.skipped == dict.fromkeys(["n4", "n1"], "waits for another run: remediate_most is 2")


# -- when it is not the nodes


def test_what_too_many_nodes_share_is_not_the_nodes_own() -> None:
    found = {f"n{number}": [DOCKER] for number in range(4)} | {"n9": [PENDING]}
    plan = planned(found, limits=Limits(100, 3))
    assert list(plan.acts) == ["n9"]
    assert plan.shared == {"docker.daemon": ["n0", "n1", "n2", "n3"]}
    assert plan.alike["docker.daemon"].startswith(
        "4 of 5 nodes fail alike, more than remediate_alike (3): it is not the"
    )
    assert plan.skipped["n0"] == "shares its defects with too many nodes: it is not the node"
    assert plan.cases == []
    assert planned(found, limits=Limits(100, 4)).alike == {}


def test_what_all_nodes_of_a_rack_share_is_not_the_nodes_own() -> None:
    roster = {f"n{number}": Standing("r1" if number < 3 else "r2") for number in range(5)}
    plan = planned({name: [DOCKER] for name in ("n0", "n1", "n2")}, roster)
    assert plan.acts == {}
    assert plan.alike["docker.daemon"].startswith("all nodes of rack r1 fail alike: it is not the nodes")
    assert list(planned({name: [DOCKER] for name in ("n0", "n1")}, roster).acts) == ["n0", "n1"]
    # Two nodes are no rack that says anything.
    assert list(planned({name: [DOCKER] for name in ("n3", "n4")}, roster).acts) == ["n3", "n4"]


def test_a_node_has_what_is_its_own_remedied_beside_what_all_share() -> None:
    found = {f"n{number}": [DOCKER] for number in range(4)}
    found["n1"] = [DOCKER, PENDING]
    act = planned(found, limits=Limits(100, 3)).acts["n1"]
    assert [finding.check for finding in act.findings] == ["gpu.row_remap.pending"]


def test_nodes_in_somebodys_hands_do_not_make_a_defect_common() -> None:
    roster = {f"n{number}": Standing(against="in maintenance", hands_off=number > 0) for number in range(4)}
    assert planned({key: [DOCKER] for key in roster}, roster, limits=Limits(100, 1)).alike == {}


STANDINGS = st.builds(
    Standing,
    rack=st.sampled_from(["", "r1", "r2"]),
    in_service=st.booleans(),
    against=st.sampled_from(["", "", "", "busy: process 7"]),
) | st.just(Standing(against="quarantined", hands_off=True))
FINDINGS = st.builds(
    open_finding,
    st.sampled_from(["docker.daemon", "gpu.row_remap.pending", "gpu.inforom", "os.release", "hca.rate"]),
    st.sampled_from(["host", "gpu:1"]),
    st.sampled_from(["fail", "unknown", "warn", "waived"]),
)
NODES = st.dictionaries(
    st.sampled_from([f"n{number}" for number in range(12)]), st.tuples(STANDINGS, st.lists(FINDINGS, max_size=4))
)


@given(NODES, st.integers(1, 5), st.integers(1, 5))
def test_no_plan_breaks_its_promises(nodes: dict[str, tuple[Standing, list[Open]]], most: int, alike: int) -> None:
    roster = {name: standing for name, (standing, _found) in nodes.items()}
    found = {name: items for name, (_standing, items) in nodes.items()}
    plan = planned(found, roster, limits=Limits(most, alike))
    assert len(plan.acts) <= most
    for name, act in (*plan.acts.items(), *plan.by_hand.items()):
        assert not roster[name].against
        assert all(finding.verdict in (Verdict.FAIL, Verdict.UNKNOWN) for finding in act.findings)
        assert not {finding.check for finding in act.findings} & set(plan.alike)
        acted_on: dict[str, set[str]] = {}
        for finding in act.findings:
            acted_on.setdefault(finding.check, set()).add(name)
        assert all(len(names) <= alike for names in acted_on.values())
    for name, items in found.items():
        bad = [item for item in items if not item.finding.verdict.allocatable]
        told = name in plan.acts or name in plan.by_hand or name in plan.skipped
        assert told or not bad, "nobody is forgotten"
        assert (name in plan.acts) + (name in plan.by_hand) + (name in plan.skipped) <= 1


@pytest.mark.parametrize(
    ("most", "alike", "words"),
    [("no", "1", "remediate_most: 'no' is no number of nodes"), (1, "0%", "remediate_alike: '0%' is no number")],
)
def test_a_limit_that_is_none_is_refused(most: object, alike: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Limits.of(most, alike, 4)


def test_shares_are_of_the_roster() -> None:
    assert Limits.of("5%", "10%", 511) == Limits(26, 52)
    assert Limits.of("5%", 3, 4) == Limits(1, 3)


# -- what has helped


def outcomes(*judged: tuple[str, str]) -> list[tuple[str, str]]:
    act = {"remedy": "reset_gpu", "findings": [{"check": "gpu.row_remap.pending"}, {"check": "gpu.xid"}]}
    told = Outcomes().filters()["remedy_outcomes"](
        {"n1": act, "n2": act}, {"n1": [{"check": check, "verdict": verdict} for check, verdict in judged]}
    )
    assert {each["node"] for each in told} == {"n1"}
    return [(each["action"], each["detail"]) for each in told]


@pytest.mark.parametrize(
    ("judged", "first"),
    [
        ([], "remedy_proved"),
        ([("gpu.xid", "warn"), ("hca.rate", "fail"), ("gpu.row_remap.pending", "waived")], "remedy_proved"),
        ([("gpu.row_remap.pending", "fail")], "remedy_failed"),
        ([("gpu.row_remap.pending", "unknown")], "remedy_failed"),
    ],
)
def test_a_remedy_is_proved_check_by_check(judged: list[tuple[str, str]], first: str) -> None:
    assert outcomes(*judged) == [
        (first, "reset_gpu for gpu.row_remap.pending"),
        ("remedy_proved", "reset_gpu for gpu.xid"),
    ]


def test_a_node_that_does_not_answer_proves_nothing() -> None:
    assert {action for action, _detail in outcomes(("host.reachable", "unknown"))} == {"remedy_failed"}
