# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pair schedules: what each promises, for any number of nodes."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.pairing import (
    Round,
    circle,
    pair,
    ring,
    with_known_good,
)
from hypothesis import given
from hypothesis import strategies as st


def names(count: int) -> list[str]:
    return [f"node{number:03}" for number in range(1, count + 1)]


def disjoint(rounds: list[Round]) -> bool:
    return all(len({node for each in this for node in each}) == 2 * len(this) for this in rounds)


@given(st.integers(0, 40))
def test_circle_is_every_pair_once(count: int) -> None:
    rounds = circle(names(count))
    assert sorted(itertools.chain(*rounds)) == sorted(itertools.combinations(names(count), 2))
    assert disjoint(rounds)
    if count >= 2:
        assert len(rounds) == (count if count % 2 else count - 1)
        assert all(len(each) == count // 2 for each in rounds)


@given(st.integers(3, 600))
def test_ring_gives_everyone_two_partners(count: int) -> None:
    rounds = ring(names(count))
    met = Counter(node for each in itertools.chain(*rounds) for node in each)
    assert set(met.values()) == {2}
    assert len(met) == count
    assert disjoint(rounds)
    assert len(rounds) == (2 if count % 2 == 0 else 3)
    assert len(set(itertools.chain(*rounds))) == count


@pytest.mark.parametrize(("count", "rounds"), [(0, []), (1, []), (2, [[("node001", "node002")]])])
def test_small_rings(count: int, rounds: list[Round]) -> None:
    assert ring(names(count)) == rounds


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_known_good_partners_are_new_and_enough(suspects: int, good: int, wanted: int) -> None:
    nodes = names(suspects + good)
    bad, fine = nodes[:suspects], nodes[suspects:]
    measured = {pair(one, other) for one, other in zip(bad, fine, strict=False)}
    rounds = with_known_good(bad, fine, measured, wanted)
    given_ = list(itertools.chain(*rounds))
    assert disjoint(rounds)
    assert not measured & set(given_)
    assert len(given_) == len(set(given_))
    for suspect in bad:
        partners = [each for each in given_ if suspect in each]
        free = sum(1 for node in fine if pair(suspect, node) not in measured)
        assert len(partners) == min(wanted, free)
        assert all(set(each) - {suspect} <= set(fine) for each in partners)
