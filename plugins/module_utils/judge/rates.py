# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a counter has grown lately. A total of years says little, and is never less again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..findings import Verdict
from .view import Unjudgeable, data_of, items, number, once

HOUR, DAY = 3600.0, 86400.0
# The longest time between two passes of a node that is looked at regularly, which is once a day. What came in a longer
# time came little by little.
_BETWEEN_PASSES = 1.5 * DAY


@dataclass(frozen=True)
class Growth:
    """By how much a counter has grown, if evenly between two passes, and by what that is known: for evidence.

    `most` is what it has grown by if all between two passes came at once, in the time that is asked for.
    """

    amount: float
    most: float
    known_by: str

    def verdict(self, warn: float, fail: float = float("inf")) -> Verdict:
        """What certainly came fails. A burst that may have come between passes that are far apart warns."""
        if self.amount >= fail:
            return Verdict.FAIL
        return Verdict.WARN if self.most >= warn else Verdict.PASS

    def told(self, warn: float) -> str:
        """The amount, and what it may be where that makes the difference."""
        even = f"{round(self.amount, 1):.12g}"
        return even if self.amount >= warn or self.most < warn else f"{even} (or up to {self.most:.12g}, if at once)"


def growth(observation: Mapping[str, Any], name: str, total: float, window: float) -> Growth:
    """How much the counter `name` has grown in the last `window` seconds.

    By what the node remembers (`observe.history`), in which a growth between two passes is spread over the time between
    them, and may also have come at once; one that the first pass of a boot finds, over the time since the boot. Without
    that memory the `total` is all that came since the boot. Where not even that time is known, all of it may be new.
    """
    try:
        history = data_of(observation, "history")
        by_counter = once(observation, "changes", lambda: _by_counter(history))
        changes = [_change(change) for change in by_counter.get(name, ())]
    except Unjudgeable as reason:
        return _since_boot(observation, total, window, str(reason))
    amount = most = 0.0
    for delta, since, until in changes:
        share = _share(since, until, window)
        amount += delta * share
        most += delta if share and since - until <= _BETWEEN_PASSES else delta * share
    return Growth(amount, most, f"history on the node{_trouble(history)}")


def _by_counter(history: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The changes that name a counter, by its name: of thousands each of hundreds of counters has its own."""
    found: dict[str, list[Any]] = {}
    for change in items(history.get("changes")):
        for name in {part for part in items(change) if isinstance(part, str)}:
            found.setdefault(name, []).append(change)
    return found


def _change(change: Any) -> tuple[float, float, float]:
    parts = items(change)
    if len(parts) != 4:
        raise Unjudgeable(f"{change!r:.80} is no growth of a counter")
    delta, since, until = (number(value) for value in parts[1:])
    if min(delta, since, until) < 0:
        raise Unjudgeable(f"{change!r:.80} is no growth of a counter")
    return delta, since, until


def _share(since: float, until: float, window: float) -> float:
    """The part of the time from `since` ago to `until` ago that lies in the last `window` seconds."""
    if since <= until:
        return 1.0 if until < window else 0.0
    return max(0.0, min(since, window) - until) / (since - until)


def _trouble(history: Mapping[str, Any]) -> str:
    trouble = history.get("trouble")
    return f"; {trouble}" if trouble else ""


def _since_boot(observation: Mapping[str, Any], total: float, window: float, reason: str) -> Growth:
    try:
        uptime = number(data_of(observation, "host").get("uptime_seconds"))
    except Unjudgeable:
        return Growth(total, total, f"total; {reason}; nor is known since when the node runs")
    average = total * min(1.0, window / uptime) if uptime > 0 else total
    return Growth(average, average, f"average since the boot; {reason}")
