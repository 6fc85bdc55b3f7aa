# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who goes first in a rolling change, who goes next, and when it stops."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.firstlight.cluster.plugins.filter.canaries import FilterModule as Canaries
from ansible_collections.firstlight.cluster.plugins.filter.next_batch import FilterModule as NextBatch
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.rolling import (
    Batch,
    Limits,
    canaries,
    next_batch,
)

DUE = {"n1": "h100", "n2": "h100", "n3": "b200", "n4": "b200"}


@pytest.mark.parametrize(
    ("proved", "named", "first"),
    [
        ([], [], ["n1", "n3"]),
        (["h100"], [], ["n3"]),
        (["h100", "b200"], ["n1"], []),
        ([], ["n2", "n4"], ["n2", "n4"]),
        ([], ["n3", "n4"], ["n1", "n3", "n4"]),
        ([], ["n9"], ["n1", "n3"]),
    ],
)
def test_every_class_that_is_not_proved_has_a_canary(proved: list[str], named: list[str], first: list[str]) -> None:
    assert canaries(DUE, proved, named, begun=[], serving=[], aside=[]) == first
    assert Canaries().filters()["canaries"](DUE, proved, named) == first


@pytest.mark.parametrize(
    ("standing", "named", "first"),
    [
        # Broken before: no canary, unless somebody wants it.
        ({"aside": "n1"}, [], ["n2", "n3"]),
        ({"aside": "n1 n2"}, [], ["n3"]),
        ({"aside": "n1"}, ["n1"], ["n1", "n3"]),
        # Proved hardware before such as never was in service; before both what a stopped run had taken.
        ({"serving": "n2 n4"}, [], ["n2", "n4"]),
        ({"serving": "n1 n3", "begun": "n2"}, [], ["n2", "n3"]),
        ({"begun": "n1 n2", "aside": "n1", "serving": "n4"}, [], ["n2", "n4"]),
    ],
)
def test_a_canary_is_a_node_that_was_fit(standing: dict[str, str], named: list[str], first: list[str]) -> None:
    given = {key: standing.get(key, "").split() for key in ("begun", "serving", "aside")}
    assert Canaries().filters()["canaries"](DUE, [], named, **given) == first


def batch(waiting: str, taken: str = "", **given: Any) -> Batch:
    names = {key: str(given.get(key, "")).split() for key in ("first", "failed", "missed", "out", "aside")}
    limits = Limits(given.get("size", 2), given.get("most_out", 4), given.get("max_failed", 0.25))
    return next_batch(waiting.split(), taken.split(), limits=limits, **names)


@pytest.mark.parametrize(
    ("arguments", "given", "nodes"),
    [
        # Canaries alone, however small a batch is.
        (("c1 c2 n1", ""), {"first": "c1 c2", "size": 1}, "c1 c2"),
        (("n1 n2 n3", "c1"), {"first": "c1"}, "n1 n2"),
        (("n1", "c1 n2 n3"), {"first": "c1"}, "n1"),
        # One of four may fail.
        (("n4 n5", "c1 n1 n2 n3"), {"first": "c1", "failed": "n2"}, "n4 n5"),
        # The room that is left, of which a node takes none that is out already.
        (("n1 n2 n3", ""), {"most_out": 3, "out": "x1 x2"}, "n1"),
        (("n1 n2 n3", ""), {"most_out": 2, "out": "x1 n3"}, "n3"),
        (("n1 n2 n3", ""), {"most_out": 2, "out": "n3"}, "n3 n1"),
        (("n1 n2 n3", ""), {"most_out": 1, "out": "n1 n2 n3"}, "n1 n2"),
        # Broken before: last of all, not beside others, and not counted.
        (("n1 n2 n3", ""), {"out": "n1 n2", "aside": "n1"}, "n2 n3"),
        (("n1 n2", ""), {"out": "n1", "aside": "n1", "size": 3}, "n2"),
        (("n1 n2 n3", "n4"), {"out": "n1 n2 n3", "aside": "n1 n2 n3"}, "n1 n2"),
        (("n3", "n1 n2 n4"), {"out": "n1 n2 n3", "aside": "n1 n2 n3", "failed": "n1 n2"}, "n3"),
        (("n1 n2", ""), {"most_out": 1, "out": "n1", "aside": "n1"}, "n1"),
        (("n1 n2", ""), {"first": "n1", "out": "n1", "aside": "n1"}, "n1"),
    ],
)
def test_who_is_next(arguments: tuple[str, str], given: dict[str, Any], nodes: str) -> None:
    assert batch(*arguments, **given) == Batch(nodes.split())


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (("n1", "c1"), {"first": "c1", "failed": "c1", "max_failed": 1.0}, "canary c1 was set aside."),
        (("n1", "c1"), {"first": "c1", "missed": "c1"}, "canary c1 could not take part."),
        (("n4", "c1 n1 n2"), {"first": "c1", "failed": "n2"}, "1 of 3 nodes were set aside, more than"),
        (
            ("n3", "b1 b2 n1 n2"),
            {"aside": "b1 b2", "failed": "b1 n1"},
            "1 of 2 nodes were set aside, more than",
        ),
        (("n1", "b1"), {"first": "b1", "aside": "b1", "failed": "b1"}, "canary b1 was set aside."),
        (
            ("n1", ""),
            {"out": "x1 x2 x3 x4"},
            "4 nodes are out of service, and upgrade_most_out is 4: no room for another",
        ),
        (("c1 c2", ""), {"first": "c1 c2", "most_out": 1}, "no room for the canaries"),
    ],
)
def test_when_it_stops(arguments: tuple[str, str], given: dict[str, Any], words: str) -> None:
    told = batch(*arguments, **given)
    assert not told.nodes
    assert words in told.stop


@pytest.mark.parametrize(
    ("size", "most_out", "roster", "limits"),
    [(3, "12", 4, (3, 12)), ("5%", "10 %", 511, (26, 52)), ("1%", "100%", 4, (1, 4)), ("1%", 1, 0, (1, 1))],
)
def test_a_share_is_one_of_the_roster_and_at_least_one(
    size: object, most_out: object, roster: int, limits: tuple[int, int]
) -> None:
    found = Limits.of(size, most_out, "0.1", roster)
    assert ((found.size, found.most_out), found.max_failed) == (limits, 0.1)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"size": "some"}, "upgrade_batch"),
        ({"size": 0}, "upgrade_batch"),
        ({"most_out": "101%"}, "upgrade_most_out"),
        ({"most_out": -1}, "upgrade_most_out"),
        ({"most_out": "\u0661%"}, "upgrade_most_out"),
        ({"max_failed": 1.1}, "upgrade_max_failed"),
        ({"max_failed": "nan"}, "upgrade_max_failed"),
        ({"max_failed": "few"}, "upgrade_max_failed"),
    ],
)
def test_what_is_no_limit_is_refused_by_name(given: dict[str, Any], name: str) -> None:
    arguments = {"size": 1, "most_out": 1, "max_failed": 0.1, "roster": 10} | given
    with pytest.raises(AnsibleFilterError, match=f"^{name}: .* Remedy: "):
        NextBatch().filters()["next_batch"](["n1"], **arguments)


def test_the_filter_hands_on_everything() -> None:
    given = {"roster": 10, "size": "10%", "most_out": 3, "max_failed": 0}
    next_one = NextBatch().filters()["next_batch"]
    assert next_one(["n2"], taken=["n1"], first=["n1"], **given) == {"nodes": ["n2"], "stop": ""}
    assert next_one(["n2"], taken=["n1"], failed=["n1"], **given)["stop"].startswith("1 of 1 nodes were set aside")
    assert next_one(["n2"], taken=["n1"], first=["n1"], missed=["n1"], **given)["stop"]
    assert next_one(["n2"], out=["x1", "x2", "x3"], **given)["stop"]
    assert next_one(["n2"], taken=["n1"], failed=["n1"], aside=["n1"], **given)["nodes"] == ["n2"]
