# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From pairs to the culprit: the cases that a person can tell, and those that nobody can."""

from __future__ import annotations

import itertools

from ansible_collections.firstlight.cluster.plugins.module_utils.collective.localise import (
    Cause,
    PairResult,
    localise,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.pairing import Pair, pair
from hypothesis import assume, given
from hypothesis import strategies as st

NODES = ["node01", "node02", "node03", "node04"]
FAST, SLOW = PairResult(400.0), PairResult(40.0)
FAILED, UNMEASURED = PairResult(failed=True, detail="hung"), PairResult(detail="no time left")


def results(nodes: list[str], special: dict[Pair, PairResult]) -> dict[Pair, PairResult]:
    return {each: special.get(each, FAST) for each in itertools.combinations(nodes, 2)}


def of_nodes(nodes: list[str], bad: set[str], result: PairResult = SLOW) -> dict[Pair, PairResult]:
    return results(nodes, {each: result for each in itertools.combinations(nodes, 2) if bad & set(each)})


def test_no_slow_pair() -> None:
    found = localise(of_nodes(NODES, set()), floor=100.0)
    assert found.cause is Cause.NONE_SLOW
    assert (found.blamed, found.links, found.unproven) == ([], [], [])
    assert found.cleared == NODES


def test_one_node_of_four_though_half_of_the_pairs_are_slow() -> None:
    found = localise(of_nodes(NODES, {"node02"}))
    assert found.cause is Cause.NODES
    assert found.blamed == ["node02"]
    assert found.cleared == ["node01", "node03", "node04"]
    assert found.reference == 400.0
    assert "node02" in found.summary


def test_one_node_of_three_though_most_pairs_are_slow() -> None:
    found = localise(of_nodes(NODES[:3], {"node03"}))
    assert found.blamed == ["node03"]
    assert found.cleared == ["node01", "node02"]


def test_a_node_that_fails_is_blamed_like_a_slow_one() -> None:
    found = localise(of_nodes(NODES, {"node01"}, FAILED))
    assert found.blamed == ["node01"]
    assert len(found.failed) == 3


def test_two_nodes() -> None:
    assert localise(of_nodes(NODES, {"node02", "node04"})).blamed == ["node02", "node04"]


def test_one_path_blames_neither_end() -> None:
    found = localise(results(NODES, {("node01", "node03"): SLOW}))
    assert found.cause is Cause.LINKS
    assert found.links == [("node01", "node03")]
    assert found.blamed == []
    assert "node01 and node03" in found.summary


def test_one_node_and_one_path() -> None:
    nodes = [f"n{number}" for number in range(7)]
    special = {each: SLOW for each in itertools.combinations(nodes, 2) if "n0" in each}
    found = localise(results(nodes, {**special, ("n3", "n5"): FAILED}))
    assert found.cause is Cause.NODES_AND_LINKS
    assert (found.blamed, found.links) == (["n0"], [("n3", "n5")])


def test_two_islands_accuse_one_another_and_no_node_is_blamed() -> None:
    across = {
        each: SLOW
        for each in itertools.combinations(NODES, 2)
        if each not in (("node01", "node02"), ("node03", "node04"))
    }
    found = localise(results(NODES, across))
    assert found.blamed == []
    assert found.cause is Cause.LINKS
    assert len(found.links) == 4


def test_two_nodes_alone_cannot_be_told_apart() -> None:
    found = localise({("node01", "node02"): PairResult(40.0)}, floor=400.0)
    assert found.cause is Cause.ALL_SLOW
    assert found.unproven == ["node01", "node02"]
    assert found.blamed == []


def test_all_slow_alike_is_said_and_clears_nobody() -> None:
    found = localise(dict.fromkeys(itertools.combinations(NODES, 2), SLOW), floor=400.0)
    assert found.cause is Cause.ALL_SLOW
    assert found.unproven == NODES
    assert "cannot be told" in found.summary


def test_all_failed() -> None:
    found = localise(dict.fromkeys(itertools.combinations(NODES, 2), FAILED))
    assert found.cause is Cause.ALL_SLOW
    assert found.cleared == []


def test_a_suspect_with_one_witness_is_ambiguous() -> None:
    found = localise({("a", "b"): FAST, ("b", "c"): SLOW})
    assert found.cause is Cause.AMBIGUOUS
    assert found.unproven == ["c"]
    assert found.blamed == []


def test_a_good_node_between_two_bad_ones_is_neither_blamed_nor_cleared() -> None:
    around = ["a", "b", "c", "d", "e", "f"]
    ring = {pair(node, around[(i + 1) % 6]): FAST for i, node in enumerate(around)}
    ring |= {each: SLOW for each in ring if {"b", "d"} & set(each)}
    found = localise(ring)
    assert found.unproven == ["b", "c", "d"]
    assert found.blamed == []
    known_good = {("b", "e"): SLOW, ("b", "f"): SLOW, ("c", "e"): FAST, ("d", "f"): SLOW, ("a", "d"): SLOW}
    found = localise({**ring, **known_good})
    assert found.blamed == ["b", "d"]
    assert found.unproven == []


def test_unmeasured_is_never_fast() -> None:
    found = localise({each: (UNMEASURED if "node04" in each else FAST) for each in itertools.combinations(NODES, 2)})
    assert found.unproven == ["node04"]
    assert "node04" not in found.cleared
    assert "3 pair(s) could not be measured" in found.summary
    nothing = localise(dict.fromkeys(itertools.combinations(NODES, 2), UNMEASURED))
    assert nothing.cause is Cause.UNKNOWN
    assert nothing.unproven == NODES


def test_nothing_measured_at_all() -> None:
    assert localise({}).cause is Cause.UNKNOWN


def test_zero_bandwidth_is_slow_even_among_zeros() -> None:
    found = localise({each: PairResult(0.0) for each in itertools.combinations(NODES, 2)})
    assert found.cause is Cause.ALL_SLOW


def test_threshold_is_relative() -> None:
    special = {each: PairResult(0.25) for each in itertools.combinations(NODES, 2) if "node01" in each}
    rest = {each: PairResult(0.4) for each in itertools.combinations(NODES, 2) if "node01" not in each}
    assert localise({**special, **rest}, pair_ratio=0.6).blamed == []
    assert localise({**special, **rest}, pair_ratio=0.7).blamed == ["node01"]


@given(st.integers(3, 12), st.data())
def test_a_minority_of_bad_nodes_is_named_exactly(count: int, data: st.DataObject) -> None:
    nodes = [f"n{number:02}" for number in range(count)]
    bad = data.draw(st.sets(st.sampled_from(nodes), max_size=(count - 1) // 2))
    assume(count - len(bad) >= 2)
    speed = st.floats(380, 400) | st.just(400.0)
    measured = {
        each: (data.draw(st.sampled_from([SLOW, FAILED])) if bad & set(each) else PairResult(data.draw(speed)))
        for each in itertools.combinations(nodes, 2)
    }
    found = localise(measured)
    assert found.blamed == sorted(bad)
    assert found.cleared == sorted(set(nodes) - bad)
    assert not found.links


@given(st.dictionaries(
    st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")).filter(lambda each: each[0] < each[1]),
    st.sampled_from([FAST, SLOW, FAILED, UNMEASURED, PairResult(0.0)]),
))  # fmt: skip
def test_every_node_is_blamed_cleared_or_unproven_and_none_is_cleared_without_a_fast_pair(
    measured: dict[Pair, PairResult],
) -> None:
    found = localise(measured, floor=100.0)
    nodes = sorted({node for each in measured for node in each})
    assert sorted([*found.blamed, *found.cleared, *found.unproven]) == nodes
    fast = {node for each in found.fast for node in each}
    assert set(found.cleared) <= fast
    assert not any(measured[each].busbw is None for each in found.fast)
    assert sorted([*found.fast, *found.slow, *found.failed, *found.unmeasured]) == sorted(measured)
    assert found.summary
