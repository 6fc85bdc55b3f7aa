# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the agent that watches the node between runs, by what it has left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict, worst
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, items, limit, number, text, unread

_LEVELS = ("full", "light")
_VERDICTS = frozenset(verdict.value for verdict in Verdict)
_REPROBE = (
    "Drain the node and run validate.yml on it; what is bad again is a case for the vendor. Then, or if nothing is, "
    "`firstlight-health run --level probe --now` on the node."
)


def fingerprint(node_class: NodeClass) -> str:
    """SHA-256 of what a class says, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(node_class, sort_keys=True).encode()).hexdigest()


def age_of(last: Mapping[str, Any], boot_id: str, uptime: float) -> float | None:
    """Seconds since a pass; None for one of an earlier boot, which tells nothing of this one.

    By the uptime, which nobody sets: a clock that is put right would make old passes young.
    """
    return max(uptime - number(last.get("uptime")), 0.0) if text(last.get("boot_id")) == boot_id else None


def agent_fresh(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A node that has just been started has not had the time: what counts then is the time since its start."""
    host = data_of(observation, "host")
    boot_id, uptime = text(host.get("boot_id")), number(host.get("uptime_seconds"))
    found = []
    for level, last in _passes(observation):
        most = limit(node_class, f"agent_{level}_age_seconds")
        age = None if last is None else age_of(last, boot_id, uptime)
        waited = uptime if age is None else age
        late = last is None or waited >= most
        told = "has left none on this node" if last is None else f"was {waited:.0f} s ago"
        if last is not None and age is None:
            told = f"was before the start of {waited:.0f} s ago"
        found.append(
            finding(
                "agent.fresh",
                f"agent:{level}",
                Verdict.WARN if late else Verdict.PASS,
                f"the last {level} pass {told} (warn {most:g} s)",
                observed=None if last is None else round(waited, 1),
                expected={"below": most},
            )
        )
    return found


def agent_node_class(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = fingerprint(node_class)
    found = []
    for level, last in _passes(observation):
        judged_by = None if last is None else text(last.get("class_sha256"))
        fits = judged_by == wanted
        told = "there was none" if last is None else f"it judged by {'this' if fits else 'another'} class"
        found.append(
            finding(
                "agent.node_class",
                f"agent:{level}",
                Verdict.PASS if fits else Verdict.WARN,
                f"the last {level} pass: {told}{'' if last is None else ' ' + repr(last.get('class'))}",
                observed=judged_by,
                expected=wanted,
            )
        )
    return found


def agent_probe(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What the last probe of this boot found. A GPU that computed wrong did so, whatever the class says by now.

    Where the node was never idle for so long that no probe came, nobody knows how its GPUs compute.
    """
    host = data_of(observation, "host")
    uptime = number(host.get("uptime_seconds"))
    last = _last(observation, "probe")
    age = None if last is None else age_of(last, text(host.get("boot_id")), uptime)
    bad = [] if last is None or age is None else _bad(last, age)
    if bad:
        return bad
    waited, told = (uptime, "no probe since the start of") if age is None else (age, "the last probe was")
    most = limit(node_class, "agent_probe_age_seconds")
    verdict = Verdict.WARN if waited >= most else Verdict.PASS
    summary = f"{told} {waited:.0f} s ago (warn {most:g} s)"
    return [finding("agent.probe", "host", verdict, summary, observed=round(waited, 1), expected={"below": most})]


def _bad(last: Mapping[str, Any], age: float) -> list[Finding]:
    """What a probe found, one finding for each component."""
    by_component: dict[str, list[Mapping[str, Any]]] = {}
    for each in items(last.get("bad")):
        if not isinstance(each, dict) or each.get("verdict") not in _VERDICTS:
            raise Unjudgeable(f"agent: {each!r:.80} is no finding of a probe")
        by_component.setdefault(text(each.get("component")), []).append(each)
    found = []
    for component, bad in by_component.items():
        told = "; ".join(f"{text(each.get('check'))}: {text(each.get('summary'))}" for each in bad)
        verdict = worst(Verdict(each["verdict"]) for each in bad)
        found.append(finding("agent.probe", component, verdict, f"{told} ({age:.0f} s ago)", remedy=_REPROBE))
    return found


def _passes(observation: Observation) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """The last pass of each level that comes by the clock, None where there was none; raises Unjudgeable."""
    for level in _LEVELS:
        yield level, _last(observation, level)


def _last(observation: Observation, level: str) -> Mapping[str, Any] | None:
    """The last pass of a level, None where there was none; raises Unjudgeable."""
    passes = data_of(observation, "agent").get("passes")
    if unread(passes) or not isinstance(passes, dict):
        raise Unjudgeable(unread(passes) or f"{passes!r:.80} are no passes")
    if level not in passes:
        raise Unjudgeable(f"agent: nothing is told of {level} passes")
    last = passes[level]
    if last is not None and (unread(last) or not isinstance(last, dict)):
        raise Unjudgeable(unread(last) or f"{last!r:.80} is no pass")
    return last


JUDGES: Mapping[str, Judge] = {
    "agent.fresh": agent_fresh,
    "agent.node_class": agent_node_class,
    "agent.probe": agent_probe,
}
