# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How results are compared where nobody knows the right one: by majority, and by how far one lies from all. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Name = TypeVar("Name")

# Fewer values have no distribution that one of them could fall out of.
FEWEST = 4
# A median absolute deviation is 0.6745 of a standard deviation where the values are normal; six of those are far out.
_SIGMAS, _MAD_PER_SIGMA = 6.0, 0.6745


@dataclass(frozen=True)
class Votes(Generic[Name]):
    """`strangers` differ from more than half of all; `undecided`: there is no such half, and nobody can be told
    apart."""

    strangers: list[Name] = field(default_factory=list)
    undecided: list[Name] = field(default_factory=list)


def vote(results: Mapping[Name, str]) -> Votes[Name]:
    """Compare results of which each should be the same. One alone has nobody to differ from."""
    counts = Counter(results.values())
    if len(counts) < 2:
        return Votes()
    common, votes = counts.most_common(1)[0]
    if votes * 2 <= len(results):
        return Votes(undecided=list(results))
    return Votes(strangers=[name for name, result in results.items() if result != common])


@dataclass(frozen=True)
class Slow(Generic[Name]):
    """What the values are compared with, and those that are too low; `median` is None where there are too few."""

    median: float | None
    limit: float
    names: list[Name]


def slow(values: Mapping[Name, float], percent: float) -> Slow[Name]:
    """Values that are far below the others: by `percent` of the median at least, and by six sigmas of the bulk.

    Median and median absolute deviation are what the bulk says: a few bad values, however bad, do not move them. The
    percentage keeps values apart from noise where all are nearly the same.
    """
    if len(values) < FEWEST:
        return Slow(None, 0.0, [])
    median = statistics.median(values.values())
    spread = statistics.median(abs(value - median) for value in values.values()) / _MAD_PER_SIGMA
    limit = median - max(_SIGMAS * spread, median * percent / 100)
    return Slow(median, limit, [name for name, value in values.items() if value < limit])
