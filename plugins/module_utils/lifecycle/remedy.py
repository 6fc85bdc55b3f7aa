# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done about open findings: per node the next rung of its ladders, or why nothing is. Pure.

Only what keeps a node out is remedied (fail, unknown). A defect that many nodes share is not the nodes' own: nothing is
done about it, and one ticket tells of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..catalog.remedies import (
    BY_HAND,
    DEFAULT,
    LADDERS,
    OF_MODULES,
    OF_UNITS,
    REMEDIES,
    SERVICES,
    TICKET,
    XID_LADDERS,
)
from ..catalog.xid import bucket_of
from ..findings import Finding, Verdict
from . import rolling

# An interrupted remedy is tried once more; one that was begun so often and never judged has ended its runs.
_BEGUN_IN_VAIN = 2
# Fewer nodes than this in a rack say nothing of the rack.
_RACK = 3
_RANK = {remedy: rank for rank, remedy in enumerate(REMEDIES)}


@dataclass(frozen=True)
class Standing:
    """What stands against touching a node. `hands_off`: somebody has it in hand, so that no ticket is due either."""

    rack: str = ""
    in_service: bool = False
    against: str = ""
    hands_off: bool = False


@dataclass(frozen=True)
class Open:
    """An open finding, and when it was judged."""

    finding: Finding
    at: str


@dataclass(frozen=True)
class Tried:
    """A remedy that a run began on a node for a check."""

    remedy: str
    check: str
    at: str


@dataclass(frozen=True)
class Limits:
    """How many nodes one run acts on, and from how many nodes on a defect is not the nodes' own."""

    most: int
    alike: int

    @classmethod
    def of(cls, most: object, alike: object, roster: int) -> Limits:
        """From what an inventory says. Raises ValueError that names the variable."""
        return cls(rolling.count("remediate_most", most, roster), rolling.count("remediate_alike", alike, roster))


@dataclass(frozen=True)
class Act:
    """What is done to one node, for which findings, in which order `units` and `modules` come."""

    remedy: str
    findings: list[Finding]
    units: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """Findings of one node and part that go to people, as one ticket."""

    node: str
    group: str
    findings: list[Finding]


@dataclass
class Plan:
    """`acts` by node; `by_hand` likewise, for remedies that are only told; `skipped` says why a node is left alone.

    `cases` want tickets; `alike` says by check why it is not the nodes, and `shared` on which nodes it was found.
    """

    acts: dict[str, Act] = field(default_factory=dict)
    by_hand: dict[str, Act] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    alike: dict[str, str] = field(default_factory=dict)
    shared: dict[str, list[str]] = field(default_factory=dict)


def make_plan(
    roster: Mapping[str, Standing],
    found: Mapping[str, Sequence[Open]],
    tried: Mapping[str, Sequence[Tried]],
    limits: Limits,
    own: Mapping[str, Sequence[str]],
) -> Plan:
    """The plan for the nodes of `roster` (in its order; planned ones left out).

    `tried` are the remedies within the time in which a defect that comes back is the same one; `own` are ladders of
    the site, by check.
    """
    plan = Plan()
    defects = {node: _defects(found.get(node, ())) for node in roster}
    _break_circuit(plan, roster, defects, limits)
    for node, standing in roster.items():
        here = [each for each in defects[node] if each.finding.check not in plan.alike]
        if standing.hands_off:
            if defects[node]:
                plan.skipped[node] = standing.against
        elif here:
            _plan_node(plan, node, standing, here, tried.get(node, ()), own)
        elif defects[node]:
            plan.skipped[node] = "shares its defects with too many nodes: it is not the node"
        elif any(each.finding.verdict is Verdict.WAIVED for each in found.get(node, ())):
            plan.skipped[node] = "all that keeps it out is waived"
    _cap(plan, roster, limits)
    return plan


def _defects(found: Iterable[Open]) -> list[Open]:
    return [each for each in found if not each.finding.verdict.allocatable]


def _break_circuit(
    plan: Plan, roster: Mapping[str, Standing], defects: Mapping[str, Sequence[Open]], limits: Limits
) -> None:
    """Find the checks that fail on too many nodes, or on all of a rack. Nodes in somebody's hands count nowhere."""
    counted = [node for node, standing in roster.items() if not standing.hands_off]
    racks: dict[str, set[str]] = {}
    nodes_of: dict[str, list[str]] = {}
    for node in counted:
        if roster[node].rack:
            racks.setdefault(roster[node].rack, set()).add(node)
        for check in dict.fromkeys(each.finding.check for each in defects[node]):
            nodes_of.setdefault(check, []).append(node)
    for check, nodes in nodes_of.items():
        whole = [rack for rack, members in racks.items() if len(members) >= _RACK and members <= set(nodes)]
        if len(nodes) > limits.alike:
            told = f"{len(nodes)} of {len(roster)} nodes fail alike, more than remediate_alike ({limits.alike})"
        elif whole:
            told = f"all nodes of {', '.join(f'rack {rack}' for rack in whole)} fail alike"
        else:
            continue
        plan.alike[check] = f"{told}: it is not the nodes. Look for what they share"
        plan.shared[check] = nodes


def _plan_node(
    plan: Plan,
    node: str,
    standing: Standing,
    here: Sequence[Open],
    tried: Sequence[Tried],
    own: Mapping[str, Sequence[str]],
) -> None:
    rungs = [(each.finding, next_rung(each, tried, own)) for each in here]
    acting = [(finding, rung) for finding, rung in rungs if rung != TICKET]
    lost = [finding for finding, rung in rungs if rung == TICKET]
    if acting:
        # What a part cannot be asked may well be answered once the remedy was there.
        lost = [finding for finding in lost if finding.verdict is not Verdict.UNKNOWN]
    plan.cases += _cases(node, lost)
    if standing.against:
        plan.skipped[node] = standing.against
    elif acting:
        act = _act(acting)
        (plan.by_hand if act.remedy == BY_HAND else plan.acts)[node] = act
    else:
        plan.skipped[node] = "goes to people: a ticket"


def next_rung(found: Open, tried: Iterable[Tried], own: Mapping[str, Sequence[str]]) -> str:
    """The rung that is next for a finding. A remedy after which it was found again is not tried again."""
    ladder = ladder_of(found.finding, own)
    level = floor = -1
    begun: dict[str, int] = {}
    for each in tried:
        if each.check != found.finding.check:
            continue
        rank = _RANK[each.remedy]
        floor = max(floor, rank)
        begun[each.remedy] = begun.get(each.remedy, 0) + (each.at >= found.at)
        if each.at < found.at or begun[each.remedy] >= _BEGUN_IN_VAIN:
            level = max(level, rank)
    return next(rung for rung in ladder if rung == TICKET or (_RANK[rung] > level and _RANK[rung] >= floor))


def ladder_of(finding: Finding, own: Mapping[str, Sequence[str]]) -> list[str]:
    """The ladder of a finding, without rungs that it gives nothing to act on. The last is a ticket."""
    if finding.verdict is Verdict.UNKNOWN:
        # Nobody knows that there is a defect: what cannot be read is mended first.
        return list(DEFAULT)
    if finding.check in own:
        ladder: Sequence[str] = own[finding.check]
    elif finding.check == "gpu.xid":
        ladder = _of_xids(finding)
    else:
        ladder = LADDERS.get(finding.check, DEFAULT)
    lacking = {"restart_service": not units_of(finding), "reload_module": not modules_of(finding)}
    return [rung for rung in ladder if not lacking.get(rung)]


def _of_xids(finding: Finding) -> Sequence[str]:
    events = [event for event in finding.evidence.get("events") or () if isinstance(event, Mapping)]
    codes = [(event.get("code"), str(event.get("text") or "")) for event in events]
    buckets = {bucket_of(code, text) for code, text in codes if isinstance(code, int)}
    return next((XID_LADDERS[bucket] for bucket in XID_LADDERS if bucket in buckets), DEFAULT)


def units_of(finding: Finding) -> list[str]:
    """The units that restart_service would restart."""
    if finding.check in OF_UNITS:
        kind, _colon, unit = finding.component.partition(":")
        return [unit] if kind == "unit" and unit else []
    return [SERVICES[finding.check]] if finding.check in SERVICES else []


def modules_of(finding: Finding) -> list[str]:
    """The kernel modules that reload_module would load."""
    told = finding.observed.get("missing") if isinstance(finding.observed, Mapping) else None
    return [str(module) for module in told or ()] if finding.check in OF_MODULES else []


def _act(acting: Sequence[tuple[Finding, str]]) -> Act:
    """One remedy for a node: the strongest that one of its findings needs does for the others, too."""
    remedy = max((rung for _finding, rung in acting), key=_RANK.__getitem__)
    findings = [finding for finding, _rung in acting]
    return Act(
        remedy,
        findings,
        list(dict.fromkeys(unit for finding in findings for unit in units_of(finding))),
        list(dict.fromkeys(module for finding in findings for module in modules_of(finding))),
    )


def group_of(finding: Finding) -> str:
    """What one ticket of a node is about: a part; of the node itself, an area of checks; or what could not be read."""
    if finding.verdict is Verdict.UNKNOWN and finding.check != "host.reachable":
        return "unread"
    part = finding.component.partition("/")[0]
    return finding.check.partition(".")[0] if part == "host" else part.replace(":", "-")


def _cases(node: str, findings: Iterable[Finding]) -> list[Case]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(group_of(finding), []).append(finding)
    return [Case(node, group, members) for group, members in groups.items()]


def _cap(plan: Plan, roster: Mapping[str, Standing], limits: Limits) -> None:
    """Keep so many acts as one run may make: nodes first that have no users to lose, then in the roster's order."""
    for node in sorted(plan.acts, key=lambda name: roster[name].in_service)[limits.most :]:
        del plan.acts[node]
        plan.skipped[node] = f"waits for another run: remediate_most is {limits.most}"


def outcomes(act: Mapping[str, Any], judged: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What the ledger is told of a remedy once the node was judged again: by check whether it has helped.

    `act` is an act as the plan's file has it, `judged` the findings other than pass.
    """
    bad = {str(each["check"]) for each in judged if not Verdict(each["verdict"]).allocatable}
    checks = dict.fromkeys(str(each["check"]) for each in act["findings"])
    lost = "host.reachable" in bad
    words = {True: "remedy_failed", False: "remedy_proved"}
    return [{"action": words[lost or check in bad], "detail": f"{act['remedy']} for {check}"} for check in checks]
