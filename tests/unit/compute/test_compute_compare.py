# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Majority votes and outliers."""

from __future__ import annotations

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.compare import slow, vote
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("results", "strangers", "undecided"),
    [
        ("", [], []),
        ("a", [], []),
        ("aaaa", [], []),
        ("ab", [], [0, 1]),
        ("aab", [2], []),
        ("abab", [], [0, 1, 2, 3]),
        ("aabbc", [], [0, 1, 2, 3, 4]),
        ("abcaaaaa", [1, 2], []),
        ("aaaabbbb", [], [0, 1, 2, 3, 4, 5, 6, 7]),
        ("aaaaabbb", [5, 6, 7], []),
    ],
)
def test_more_than_half_decide(results: str, strangers: list[int], undecided: list[int]) -> None:
    votes = vote(dict(enumerate(results)))
    assert (votes.strangers, votes.undecided) == (strangers, undecided)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], []),
        ([700, 100, 700], []),  # three are no fleet
        ([700, 100, 700, 701], [1]),
        ([700] * 7 + [666], []),  # nobody but 4.9 percent away
        ([700] * 7 + [664], [7]),
        ([700] * 7 + [900], []),  # too fast is no fault
        ([1, 2, 3, 4, 5, 6, 7, 8], []),  # wide, and nobody stands out
        ([700, 702, 698, 701, 699, 350, 10, 700], [5, 6]),  # two bad ones do not hide each other
    ],
)
def test_what_falls_out_of_the_distribution(values: list[float], names: list[int]) -> None:
    assert slow(dict(enumerate(values)), 5).names == names


def test_the_median_is_told() -> None:
    found = slow({"a": 10.0, "b": 10.0, "c": 10.0, "d": 1.0}, 5)
    assert (found.median, found.limit, found.names) == (10.0, 9.5, ["d"])
    assert slow({"a": 10.0}, 5).median is None


@given(st.lists(st.floats(1, 1e6), min_size=4, max_size=40))
def test_never_more_than_half_are_slow(values: list[float]) -> None:
    assert 2 * len(slow(dict(enumerate(values)), 5).names) <= len(values)
