# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of what the kernel log says at all, by the class's baseline: what is bad, what is new, what is missing."""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from ..observe.log_template import REST, START_SECONDS
from ..observe.starts import EARLIER
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, items, need, number, text, unread

# A finding names so many; the evidence has them all, up to what a person may want to see.
_NAMED, _KEPT = 5, 100

# Learned so far apart, lines have an order; what is closer comes as it comes.
_APART_SECONDS = 1.0
_NEXT_START = "The next start shows it; a larger log_buf_len on the kernel command line keeps more."


class Lines(NamedTuple):
    """How many lines of a template there are, one of them, when the first came (microseconds), how many at start."""

    times: int
    line: str
    first: int | None
    at_start: int


Said = Mapping[str, Lines]


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
    found: dict[str, Lines] = {}
    for entry in entries:
        for template in said:
            if matches(entry["template"], template):
                found[template] = said[template]._replace(line=f"{entry['reason']}: {said[template].line}")
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
    """What is missing may have been in a beginning that the log has lost, if nobody remembers that."""
    said, expected = _said(observation), need(node_class, "kernel_log.expected")
    _whole(observation)
    lost, fresh, start = _lost(observation), _fresh(observation), _start(observation, said)
    rests = tuple(template.removesuffix(REST) for template in said if template.endswith(REST))
    here = dict.fromkeys(said, 0) | {template: lines for template, (lines, _second) in start.items()}
    absent = [template for template in expected if template not in here and not template.startswith(rests)]
    absent += [
        f"{template} ({here[template]} lines, not {count})"
        for template, count in need(node_class, "kernel_log.lines").items()
        if template in here and here[template] < count and not template.startswith(rests)
    ]
    if not absent:
        summary = f"all {len(expected)} kinds of lines that every learned node has"
        return [finding("kernel.log.missing", "host", Verdict.PASS, summary)]
    summary, remedy = f"{len(absent)} kinds of lines are missing: {_first(absent)}", None
    if lost is None:
        raise Unjudgeable(f"{summary}; no record tells whether the log still has its beginning")
    if lost and not start:
        summary = f"the log has lost its beginning, where {len(absent)} kinds of lines may have been: {_first(absent)}"
        summary += _trouble(observation)
        remedy = _NEXT_START
    elif fresh:
        summary = f"less than {START_SECONDS} s after the start {summary}"
        remedy = "Judge again when the node has been up for ten minutes."
    return [_warning("kernel.log.missing", summary, absent, remedy)]


def kernel_log_order(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A line is late where another is before it that came at least a second behind it wherever was learned."""
    said, seconds = _said(observation), need(node_class, "kernel_log.seconds")
    _whole(observation)
    lost, start = _lost(observation), _start(observation, said)
    if lost is None:
        raise Unjudgeable("no record tells whether the log still has its beginning")
    if lost and not start:
        summary = f"the log has lost its beginning, and with it what came first{_trouble(observation)}"
        return [_warning("kernel.log.order", summary, [], _NEXT_START)]
    came = {template: start[template][1] for template in seconds if template in start}
    late = _late(came, seconds)
    if not late:
        summary = f"{len(came)} kinds of lines came in the order of the learned nodes"
        return [finding("kernel.log.order", "host", Verdict.PASS, summary)]
    return [_warning("kernel.log.order", f"{len(late)} kinds of lines came out of order: {_first(late)}", late)]


def _late(came: Mapping[str, float], learned: Mapping[str, Sequence[float]]) -> list[str]:
    """What came behind something that comes after it: of each line one such is enough."""
    turns = sorted(came, key=lambda template: learned[template][0])
    # From each place on, which of those whose turn is later came first.
    first_from = list(turns)
    for place in range(len(turns) - 2, -1, -1):
        first_from[place] = min(turns[place], first_from[place + 1], key=came.__getitem__)
    earliest = [learned[template][0] for template in turns]
    late = []
    for template in sorted(came, key=came.__getitem__):
        place = bisect.bisect_left(earliest, learned[template][1] + _APART_SECONDS)
        if place < len(turns) and came[first_from[place]] < came[template]:
            other = first_from[place]
            late.append(f"{template} at {came[template]:.1f} s, behind {other} at {came[other]:.1f} s")
    return late


def kernel_log_changed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A node may come back from a restart worse than before. One that is new has nothing to be compared with."""
    need(node_class, "kernel_log")
    starts = _starts(observation)
    if _trouble(observation):
        summary = f"what was remembered of earlier starts is not known{_trouble(observation)}"
        return [_warning("kernel.log.changed", summary, [], _NEXT_START)]
    if number(starts.get("earlier")) < EARLIER:
        summary = "not two starts before this one are remembered to compare it with"
        return [finding("kernel.log.changed", "host", Verdict.PASS, summary)]
    if starts.get("fewer") is None:
        summary = "the log has lost its beginning before anybody compared it with the starts before"
        return [_warning("kernel.log.changed", summary, [], _NEXT_START)]
    fewer = [f"{template} ({now} lines, {before} before)" for template, (now, before) in starts["fewer"].items()]
    if not fewer:
        summary = "all lines that both starts before had came at this one"
        return [finding("kernel.log.changed", "host", Verdict.PASS, summary)]
    summary = f"{len(fewer)} kinds of lines came fewer times than at both starts before: {_first(fewer)}"
    if _fresh(observation):
        summary = f"less than {START_SECONDS} s after the start {summary}"
    return [_warning("kernel.log.changed", summary, fewer)]


def _warning(check: str, summary: str, lines: Sequence[str], remedy: str | None = None) -> Finding:
    evidence = {"lines": list(lines[:_KEPT])}
    return finding(
        check, "host", Verdict.WARN, summary, observed=len(lines), expected=0, remedy=remedy, evidence=evidence
    )


def _lost(observation: Observation) -> bool | None:
    """Whether the log has lost its beginning; None where no record tells."""
    oldest = data_of(observation, "kernel_log").get("first_sequence")
    return None if oldest is None else number(oldest) > 0


def _fresh(observation: Observation) -> bool:
    """Whether the node may yet say what it says while it starts."""
    uptime = number(data_of(observation, "host").get("uptime_seconds"))
    return uptime - number(data_of(observation, "kernel_log").get("first_us")) / 1e6 < START_SECONDS


def _starts(observation: Observation) -> Mapping[str, Any]:
    """What the node remembers of its starts; raises Unjudgeable."""
    told = data_of(observation, "history").get("starts")
    if not isinstance(told, Mapping):
        raise Unjudgeable(unread(told) or f"{told!r:.80} are no starts")
    return told


def _trouble(observation: Observation) -> str:
    """What keeps the node from remembering, as the end of a sentence; empty if nothing does."""
    trouble = _starts(observation).get("trouble")
    if not isinstance(trouble, str):
        raise Unjudgeable(unread(trouble) or f"{trouble!r:.80} is no text")
    return f" ({trouble})" if trouble else ""


def _start(observation: Observation, said: Said) -> Mapping[str, tuple[int, float]]:
    """By template the lines at the start and the second of the first: of the log, or of what the node remembers.

    Empty where nobody knows.
    """
    if _lost(observation) is False:
        begins = number(data_of(observation, "kernel_log").get("first_us"))
        return {
            template: (lines.at_start, (lines.first - begins) / 1e6)
            for template, lines in said.items()
            if lines.at_start and lines.first is not None
        }
    remembered = _starts(observation).get("start") or {}
    return {template: (int(number(lines)), number(second)) for template, (lines, second) in remembered.items()}


def _said(observation: Observation) -> Said:
    templates = data_of(observation, "kernel_log").get("templates")
    if not isinstance(templates, Mapping):
        raise Unjudgeable("kernel_log: tells no templates")
    said = {}
    for template, entry in templates.items():
        count, first_us, line, at_start = items(entry)
        if not isinstance(line, str) or not isinstance(first_us, int | None):
            raise Unjudgeable(f"kernel_log: {entry!r:.80} tells no line")
        said[template] = Lines(int(number(count)), line or template, first_us, int(number(at_start)))
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
    ordered = sorted(lines, key=lambda template: -lines[template].times)
    told = _first(f"{lines[template].line} ({lines[template].times} times)" for template in ordered)
    evidence = {template: [lines[template].times, lines[template].line] for template in ordered[:_KEPT]}
    summary = f"{len(lines)} {word} kinds of lines: {told}"
    return finding(check, "host", verdict, summary, observed=len(lines), expected=0, evidence={"templates": evidence})


def _first(texts: Iterable[str]) -> str:
    named = list(texts)
    return "; ".join(named[:_NAMED]) + (f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else "")


JUDGES: Mapping[str, Judge] = {
    "kernel.log.bad": kernel_log_bad,
    "kernel.log.unknown": kernel_log_unknown,
    "kernel.log.missing": kernel_log_missing,
    "kernel.log.order": kernel_log_order,
    "kernel.log.changed": kernel_log_changed,
}
