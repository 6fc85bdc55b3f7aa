# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From measured pairs to the node, or the path between two nodes, that makes a group slow. Pure.

The yardstick comes from the run itself: every node's best pair, and of these the median (the upper one).
A median over pairs would not do: of four nodes one bad one already slows half of the pairs.

Evidence against a node counts only from partners that are proved good by a fast pair; a node that met
none but bad partners is neither blamed nor cleared.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .pairing import Pair

DEFAULT_PAIR_RATIO = 0.6


class Cause(str, enum.Enum):
    """What the pairs say as a whole."""

    NONE_SLOW = "none_slow"  # every measured pair is fast: no node and no path is to blame
    NODES = "nodes"
    LINKS = "links"
    NODES_AND_LINKS = "nodes_and_links"
    AMBIGUOUS = "ambiguous"  # pairs are slow, and it cannot be told which of their ends is the reason
    ALL_SLOW = "all_slow"  # no pair is fast: there is nothing to compare with
    UNKNOWN = "unknown"  # nothing was measured


@dataclass(frozen=True)
class PairResult:
    """What came of one pair. `busbw` in GB/s; None with `failed`, or when it could not be measured at all."""

    busbw: float | None = None
    failed: bool = False
    detail: str = ""


@dataclass
class Localisation:
    """What the pairs say. Every node that was measured is in exactly one of blamed, cleared, unproven."""

    cause: Cause
    reference: float | None = None
    threshold: float | None = None
    fast: list[Pair] = field(default_factory=list)
    slow: list[Pair] = field(default_factory=list)
    failed: list[Pair] = field(default_factory=list)
    unmeasured: list[Pair] = field(default_factory=list)
    blamed: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    links: list[Pair] = field(default_factory=list)
    summary: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "cause": self.cause.value,
            "reference_gbps": self.reference,
            "threshold_gbps": self.threshold,
            "slow": [list(each) for each in self.slow],
            "failed": [list(each) for each in self.failed],
            "unmeasured": [list(each) for each in self.unmeasured],
            "blamed": self.blamed,
            "unproven": self.unproven,
            "links": [list(each) for each in self.links],
            "summary": self.summary,
        }


def localise(
    results: Mapping[Pair, PairResult], *, pair_ratio: float = DEFAULT_PAIR_RATIO, floor: float | None = None
) -> Localisation:
    """Judge the pairs.

    A pair is slow below `pair_ratio` times the run's yardstick. `floor` (GB/s) only decides what to say
    when no pair is slower than the others: below it all are slow alike, and that clears nobody.
    """
    found = _sort_pairs(results, pair_ratio)
    bad = [*found.slow, *found.failed]
    partners_fast, partners_bad = _partners(found.fast), _partners(bad)
    nodes = sorted({node for each in results for node in each})
    if not found.fast and not bad:
        found.cause, found.unproven = Cause.UNKNOWN, nodes
    elif not found.fast or (not bad and floor is not None and (found.reference or 0.0) < floor):
        found.cause, found.unproven = Cause.ALL_SLOW, nodes
    else:
        _blame(found, nodes, partners_fast, partners_bad, bad)
    found.summary = _summary(found, floor)
    return found


def _sort_pairs(results: Mapping[Pair, PairResult], pair_ratio: float) -> Localisation:
    found = Localisation(Cause.UNKNOWN)
    best: dict[str, float] = {}
    for each, result in results.items():
        if result.busbw is not None and not result.failed:
            for node in each:
                best[node] = max(best.get(node, 0.0), result.busbw)
    if best:
        found.reference = statistics.median_high(best.values())
        found.threshold = pair_ratio * found.reference
    for each, result in sorted(results.items()):
        if result.failed:
            found.failed.append(each)
        elif result.busbw is None:
            found.unmeasured.append(each)
        elif result.busbw <= 0 or result.busbw < (found.threshold or 0.0):
            found.slow.append(each)
        else:
            found.fast.append(each)
    return found


def _partners(pairs: list[Pair]) -> dict[str, set[str]]:
    partners: dict[str, set[str]] = {}
    for one, other in pairs:
        partners.setdefault(one, set()).add(other)
        partners.setdefault(other, set()).add(one)
    return partners


def _blame(
    found: Localisation,
    nodes: list[str],
    fast: dict[str, set[str]],
    slow: dict[str, set[str]],
    bad: list[Pair],
) -> None:
    """Fill in blamed, links, cleared, unproven and the cause. At least one pair is fast."""
    accused = {
        node: witnesses
        for node, partners in slow.items()
        if len(witnesses := partners & fast.keys()) >= 2 and len(witnesses) > len(fast.get(node, ()))
    }
    # Of nodes that have fast pairs too, only those accused by nodes that are not accused themselves are
    # blamed: two groups that are fast inside and slow between each other accuse one another, and it is the paths.
    blamed = {node for node, witnesses in accused.items() if node not in fast or len(witnesses - accused.keys()) >= 2}
    unexplained = [each for each in bad if not blamed & set(each)]
    links = [each for each in unexplained if each[0] in fast and each[1] in fast]
    ambiguous = {node for each in unexplained if each not in links for node in each if node not in fast}
    found.blamed = sorted(blamed)
    found.links = links
    found.unproven = [node for node in nodes if node not in blamed and (node in ambiguous or node not in fast)]
    found.cleared = [node for node in nodes if node not in blamed and node not in found.unproven]
    if not bad:
        found.cause = Cause.NONE_SLOW
    elif blamed:
        found.cause = Cause.NODES_AND_LINKS if links else Cause.NODES
    elif links and not ambiguous:
        found.cause = Cause.LINKS
    else:
        found.cause = Cause.AMBIGUOUS


def _summary(found: Localisation, floor: float | None) -> str:
    compared = f" (below {found.threshold:.3g} GB/s)" if found.threshold is not None else ""
    paths = ", ".join(f"{one} and {other}" for one, other in found.links)
    if found.cause is Cause.UNKNOWN:
        text = "no pair could be measured"
    elif found.cause is Cause.NONE_SLOW:
        text = "every pair that was measured is fast: neither a node nor a path between two explains the group"
    elif found.cause is Cause.ALL_SLOW:
        limit = f", all below the floor of {floor:g} GB/s" if found.fast and floor is not None else ""
        text = f"no pair is faster than the others{limit}: it cannot be told which node is the reason"
    elif found.cause is Cause.AMBIGUOUS:
        names = ", ".join(found.unproven)
        text = f"pairs are slow{compared}, and it cannot be told which end is the reason: {names or paths}"
    else:
        said = []
        if found.blamed:
            said.append(f"{', '.join(found.blamed)} common to the slow pairs{compared}")
        if found.links:
            said.append(f"the path between {paths} is slow{compared}, both ends are fast with others")
        if found.unproven:
            said.append(f"{', '.join(found.unproven)} met no good partner in a fast pair: neither blamed nor cleared")
        text = "; ".join(said)
    if found.unmeasured:
        text += f"; {len(found.unmeasured)} pair(s) could not be measured"
    return text
