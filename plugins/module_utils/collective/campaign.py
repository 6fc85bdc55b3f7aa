# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A group of nodes, and when it is not good: pairs, the culprit, and the proof that the others are good without it.

No pair is slow by one measurement: what else crosses the fabric, or runs on a node, may slow a pair once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .localise import DEFAULT_PAIR_RATIO, Localisation, PairResult, localise
from .measure import Measurement, Status
from .pairing import Pair, Round, circle, ring, with_known_good

# Measures groups of hosts that have no host in common; how many of them at once is the measurer's business.
Measurer = Callable[[Sequence[Sequence[str]]], Sequence[Measurement]]

# Up to so many nodes every pair is measured: 15 pairs tell more than a ring of 6 and cost little more.
EXHAUSTIVE_NODES = 6


@dataclass
class Campaign:
    """What was measured, in order. `localisation` is None when the group was good or pairs were not wanted.

    `proof` is the group of the nodes that the pairs cleared, measured again without the others.
    `pairs` has the measurement that counts; of a pair that was slow, `slow_once` has the first one.
    """

    group: Measurement
    floor: float | None
    pairs: dict[Pair, Measurement] = field(default_factory=dict)
    slow_once: dict[Pair, Measurement] = field(default_factory=dict)
    localisation: Localisation | None = None
    proof: Measurement | None = None

    @property
    def good(self) -> bool:
        return self.group.meets(self.floor)

    def measurements(self) -> list[Measurement]:
        return [self.group, *self.slow_once.values(), *self.pairs.values(), *([self.proof] if self.proof else [])]

    def to_dict(self) -> dict[str, Any]:
        return {
            "group": self.group.to_dict(),
            "floor_gbps": self.floor,
            "pairs": [measurement.to_dict() for measurement in self.pairs.values()],
            "slow_once": [measurement.to_dict() for measurement in self.slow_once.values()],
            "localisation": self.localisation.to_dict() if self.localisation else None,
            "proof": self.proof.to_dict() if self.proof else None,
        }


def first_rounds(nodes: Sequence[str], schedule: str) -> list[Round]:
    """The rounds to begin with; `schedule` is `circle`, `ring`, or `auto` (circle where it is cheap)."""
    every_pair = schedule == "circle" or (schedule == "auto" and len(nodes) <= EXHAUSTIVE_NODES)
    return circle(nodes) if every_pair else ring(nodes)


def run(
    hosts: Sequence[str],
    measure: Measurer,
    *,
    floor: float | None,
    localise_slow: bool = True,
    pair_ratio: float = DEFAULT_PAIR_RATIO,
    schedule: str = "auto",
) -> Campaign:
    """Measure the group of all `hosts`; when it fails or stays below `floor` GB/s, find out why.

    A group that could not be measured at all (no launcher, no time left) is not followed by pairs: they
    could not be measured either.
    """
    campaign = Campaign(measure([hosts])[0], floor)
    if campaign.good or not localise_slow or campaign.group.status is Status.UNMEASURED:
        return campaign
    found = _measure_pairs(campaign, measure, first_rounds(hosts, schedule), pair_ratio)
    found = _measure_pairs(campaign, measure, _second_look(found, campaign), pair_ratio)
    campaign.localisation = found
    proved = [host for host in hosts if host in found.cleared and not any(host in link for link in found.links)]
    if len(proved) >= 2:
        campaign.proof = measure([proved])[0]
    return campaign


def _measure_pairs(campaign: Campaign, measure: Measurer, rounds: Sequence[Round], pair_ratio: float) -> Localisation:
    """Measure the pairs of `rounds`, once more those that are slow, and say what all pairs so far tell."""
    for each in rounds:
        campaign.pairs.update(zip(each, measure(each), strict=True))
    slow = {*localise(_results(campaign), pair_ratio=pair_ratio, floor=campaign.floor).slow}
    for each in rounds:
        if again := [one for one in each if one in slow]:
            for one, second in zip(again, measure(again), strict=True):
                _count_the_better(campaign, one, second)
    return localise(_results(campaign), pair_ratio=pair_ratio, floor=campaign.floor)


def _count_the_better(campaign: Campaign, one: Pair, second: Measurement) -> None:
    """A second run that failed counts too: it says more than one that was slow."""
    first = campaign.slow_once[one] = campaign.pairs[one]
    if second.status is Status.FAILED or (second.busbw or 0.0) > (first.busbw or 0.0):
        campaign.pairs[one] = second


def _second_look(found: Localisation, campaign: Campaign) -> list[Round]:
    """More partners, known to be good, for the nodes about which the first rounds leave a doubt."""
    in_bad_pair = {node for each in (*found.slow, *found.failed) for node in each}
    doubtful = sorted((in_bad_pair & {*found.unproven}) | {node for each in found.links for node in each})
    known_good = [node for node in found.cleared if node not in in_bad_pair]
    return with_known_good(doubtful, known_good, campaign.pairs.keys())


def _results(campaign: Campaign) -> dict[Pair, PairResult]:
    return {
        each: PairResult(
            busbw=measurement.busbw if measurement.status is Status.OK else None,
            failed=measurement.status is Status.FAILED,
            detail=measurement.detail,
        )
        for each, measurement in campaign.pairs.items()
    }
