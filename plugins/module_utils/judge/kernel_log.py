# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of what the kernel log says at all, by the class's baseline: what is bad, what is new, what is missing."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..catalog.health.kernel_log import BOOT_SECONDS
from ..findings import Finding, Verdict
from ..observe.log_template import REST
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, items, need, number, text

# A finding names so many; the evidence has them all, up to what a person may want to see.
_NAMED, _KEPT = 5, 100

# Template -> how many lines, and one of them.
Said = Mapping[str, tuple[int, str]]


def matches(pattern: str, template: str) -> bool:
    """Whether `pattern`, with * for any text, is the whole of `template`. Takes one walk."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == template
    *middle, last = rest
    if not template.startswith(first) or not template.endswith(last):
        return False
    at, end = len(first), len(template) - len(last)
    for part in middle:
        found = template.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def kernel_log_bad(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What the site has called bad, be it learned or accepted, too."""
    said, entries = _said(observation), need(node_class, "kernel_log.bad")
    found: dict[str, tuple[int, str]] = {}
    for entry in entries:
        for template in said:
            if matches(entry["template"], template):
                count, line = said[template]
                found[template] = count, f"{entry['reason']}: {line}"
    if found:
        return [_of("kernel.log.bad", Verdict.FAIL, "bad", found)]
    _whole(observation)
    for template in _unknown(observation, node_class, said):
        if template.endswith(REST) and any(_may_be_of(entry["template"], template) for entry in entries):
            who = template.removesuffix(REST) or "too many programs"
            raise Unjudgeable(f"the kernel log has more kinds of lines of {who} than are told apart, maybe a bad one")
    return [finding("kernel.log.bad", "host", Verdict.PASS, f"none of {len(said)} kinds of lines is a bad one")]


def kernel_log_unknown(observation: Observation, node_class: NodeClass) -> list[Finding]:
    said = _said(observation)
    new = _unknown(observation, node_class, said)
    if new:
        return [_of("kernel.log.unknown", Verdict.WARN, "unknown", new)]
    _whole(observation)
    return [finding("kernel.log.unknown", "host", Verdict.PASS, f"all {len(said)} kinds of lines are known")]


def kernel_log_missing(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Judges logs of a whole start: what one lacks that has lost its beginning may have been in that."""
    said, expected = _said(observation), need(node_class, "kernel_log.expected")
    _whole(observation)
    log = data_of(observation, "kernel_log")
    oldest = log.get("first_sequence")
    lost = None if oldest is None else number(oldest) > 0
    uptime = number(data_of(observation, "host").get("uptime_seconds"))
    fresh = uptime - number(log.get("first_us")) / 1e6 < BOOT_SECONDS
    rests = tuple(template.removesuffix(REST) for template in said if template.endswith(REST))
    absent = [template for template in expected if template not in said and not template.startswith(rests)]
    if not absent:
        summary = f"all {len(expected)} kinds of lines that every learned node has"
        return [finding("kernel.log.missing", "host", Verdict.PASS, summary)]
    summary, remedy = f"{len(absent)} kinds of lines are missing: {_first(absent)}", None
    if lost is None:
        raise Unjudgeable(f"{summary}; no record tells whether the log still has its beginning")
    if lost:
        summary = f"the log has lost its beginning, where {len(absent)} kinds of lines may have been: {_first(absent)}"
        remedy = "The next start shows whether they come; a larger log_buf_len on the kernel command line keeps them."
    elif fresh:
        summary = f"less than {BOOT_SECONDS} s after the start {summary}"
        remedy = "Judge again when the node has been up for ten minutes."
    return [
        finding(
            "kernel.log.missing",
            "host",
            Verdict.WARN,
            summary,
            observed=len(absent),
            expected=0,
            remedy=remedy,
            evidence={"missing": absent[:_KEPT]},
        )
    ]


def _said(observation: Observation) -> Said:
    templates = data_of(observation, "kernel_log").get("templates")
    if not isinstance(templates, Mapping):
        raise Unjudgeable("kernel_log: tells no templates")
    said = {}
    for template, entry in templates.items():
        count, first_us, line = items(entry)
        if not isinstance(line, str) or not isinstance(first_us, int | None):
            raise Unjudgeable(f"kernel_log: {entry!r:.80} tells no line")
        said[template] = int(number(count)), line or template
    return said


def _unknown(observation: Observation, node_class: NodeClass, said: Said) -> Said:
    """What neither healthy nodes said nor a person has decided about."""
    baseline = need(node_class, "kernel_log")
    known = set(baseline["known"])
    # Of a source that said too much on a healthy node any line is known.
    rests = tuple(template.removesuffix(REST) for template in known if template.endswith(REST))
    patterns = [entry["template"] for entry in baseline["bad"]]
    if baseline["accepted"]:
        day = _day(observation)
        patterns += [entry["template"] for entry in baseline["accepted"] if day <= entry["expires"]]
    return {
        template: lines
        for template, lines in said.items()
        if template not in known
        and not template.startswith(rests)
        and not any(matches(pattern, template) for pattern in patterns)
    }


def _day(observation: Observation) -> str:
    """The day on which the node was read, as entries have their last."""
    told = text(observation.get("taken_at"))
    try:
        return datetime.datetime.fromisoformat(told).date().isoformat()
    except ValueError as error:
        raise Unjudgeable(f"taken_at: {told!r:.40} is no time") from error


def _may_be_of(pattern: str, rest: str) -> bool:
    """Whether a line of `rest` may be one of `pattern`, by what both begin with."""
    begins, source = pattern.partition("*")[0], rest.removesuffix(REST)
    return begins.startswith(source) or source.startswith(begins)


def _whole(observation: Observation) -> None:
    """Raises Unjudgeable where lines were not looked at: what was not found may be among them."""
    truncated = data_of(observation, "kernel_log").get("truncated")
    if truncated != "":
        raise Unjudgeable(f"the kernel log was read in part only: {truncated}")


def _of(check: str, verdict: Verdict, word: str, lines: Said) -> Finding:
    """One finding for all lines of a node; those that came most often first."""
    ordered = sorted(lines, key=lambda template: -lines[template][0])
    told = _first(f"{lines[template][1]} ({lines[template][0]} times)" for template in ordered)
    evidence: dict[str, Any] = {template: list(lines[template]) for template in ordered[:_KEPT]}
    summary = f"{len(lines)} {word} kinds of lines: {told}"
    return finding(check, "host", verdict, summary, observed=len(lines), expected=0, evidence={"templates": evidence})


def _first(texts: Iterable[str]) -> str:
    named = list(texts)
    return "; ".join(named[:_NAMED]) + (f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else "")


JUDGES: Mapping[str, Judge] = {
    "kernel.log.bad": kernel_log_bad,
    "kernel.log.unknown": kernel_log_unknown,
    "kernel.log.missing": kernel_log_missing,
}
