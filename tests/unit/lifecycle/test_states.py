# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which state may follow which."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import WAY, State, Step, decide

MOVES = [
    (None, "planned", "forward"),
    (None, "in_service", "forward"),
    ("planned", "enrolled", "forward"),
    ("enrolled", "deployed", "forward"),
    ("deployed", "configured", "forward"),
    ("configured", "in_service", "forward"),
    ("deployed", "in_service", "forward"),
    ("in_service", "set_aside", "forward"),
    ("set_aside", "in_service", "forward"),
    ("set_aside", "quarantined", "forward"),
    ("in_service", "quarantined", "forward"),
    ("in_service", "enrolled", "backward"),
    ("set_aside", "enrolled", "backward"),
    ("quarantined", "set_aside", "release"),
]
STAYS = [
    ("in_service", "deployed", "forward"),
    ("in_service", "in_service", "forward"),
    ("configured", "enrolled", "forward"),
    ("quarantined", "quarantined", "forward"),
    ("set_aside", "set_aside", "forward"),
]
REFUSED = [
    ("quarantined", "in_service", "forward"),
    ("quarantined", "set_aside", "forward"),
    ("quarantined", "enrolled", "backward"),
    ("quarantined", "in_service", "release"),
    ("set_aside", "planned", "forward"),
    ("set_aside", "in_service", "release"),
    ("set_aside", "set_aside", "release"),
    (None, "set_aside", "release"),
    ("enrolled", "deployed", "backward"),
]


def ask(before: str | None, after: str, step: str) -> tuple[bool, str]:
    decision = decide(State(before) if before else None, State(after), Step(step))
    return decision.moves, decision.refused


@pytest.mark.parametrize("request_", MOVES)
def test_moves(request_: tuple[str | None, str, str]) -> None:
    assert ask(*request_) == (True, "")


@pytest.mark.parametrize("request_", STAYS)
def test_stays(request_: tuple[str | None, str, str]) -> None:
    assert ask(*request_) == (False, "")


@pytest.mark.parametrize("request_", REFUSED)
def test_refused_with_a_reason(request_: tuple[str | None, str, str]) -> None:
    moves, refused = ask(*request_)
    assert not moves
    assert refused


def test_nothing_but_a_release_ends_a_quarantine() -> None:
    for wanted, step in itertools.product(State, Step):
        moves = decide(State.QUARANTINED, wanted, step).moves
        assert moves is (step is Step.RELEASE and wanted is State.SET_ASIDE)


def test_a_forward_step_never_goes_back_on_the_way() -> None:
    for before, after in itertools.product(WAY, WAY):
        assert decide(before, after, Step.FORWARD).moves is (WAY.index(after) > WAY.index(before))


def test_the_refusal_of_a_quarantined_node_says_what_ends_it() -> None:
    assert "release" in ask("quarantined", "in_service", "forward")[1]
