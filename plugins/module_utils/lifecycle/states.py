# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a node and which may follow which. Pure.

planned -> enrolled -> deployed -> configured -> in_service        the way of a node through a bring-up
set_aside      judged unfit; the next run proves it anew
quarantined    held by a person or a policy; only a release ends it
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(str, enum.Enum):
    """Where a node stands. The order of the first five is the way of a bring-up."""

    PLANNED = "planned"
    ENROLLED = "enrolled"
    DEPLOYED = "deployed"
    CONFIGURED = "configured"
    IN_SERVICE = "in_service"
    SET_ASIDE = "set_aside"
    QUARANTINED = "quarantined"


WAY = (State.PLANNED, State.ENROLLED, State.DEPLOYED, State.CONFIGURED, State.IN_SERVICE)


class Step(str, enum.Enum):
    """What kind of change a caller asks for.

    `forward` asks for at least that state: a node that is further on stays where it is, so that a run
    that finds everything done changes nothing. `backward` is the re-provisioning of a node, `release`
    the end of a quarantine; both have to be asked for by name.
    """

    FORWARD = "forward"
    BACKWARD = "backward"
    RELEASE = "release"


# From each state: those that a forward step may lead to. A run that is recorded at its end only may take
# several steps of the way at once. A node that the ledger has never seen (None) may be found anywhere.
FORWARD: dict[State | None, frozenset[State]] = {
    None: frozenset(State),
    **{
        state: frozenset({*WAY[position + 1 :], State.SET_ASIDE, State.QUARANTINED})
        for position, state in enumerate(WAY)
    },
    State.SET_ASIDE: frozenset({*WAY[1:], State.QUARANTINED}),
    State.QUARANTINED: frozenset(),
}
BACKWARD: dict[State | None, frozenset[State]] = {
    None: frozenset(),
    **{state: frozenset(WAY[:position]) for position, state in enumerate(WAY)},
    State.SET_ASIDE: frozenset(WAY[:-1]),
    State.QUARANTINED: frozenset(),
}
# What was held is not trusted yet: the next run has to prove it.
RELEASE: dict[State | None, frozenset[State]] = {
    State.QUARANTINED: frozenset({State.SET_ASIDE}),
}
TRANSITIONS = {Step.FORWARD: FORWARD, Step.BACKWARD: BACKWARD, Step.RELEASE: RELEASE}


@dataclass(frozen=True)
class Decision:
    """What becomes of a request: the node moves, stays, or the request is refused with a reason."""

    moves: bool
    refused: str = ""


def decide(current: State | None, wanted: State, step: Step) -> Decision:
    """Whether a node in `current` moves to `wanted`. Asking for the state it is in is no move and no error."""
    if step is not Step.RELEASE and current is wanted:
        return Decision(moves=False)
    if wanted in TRANSITIONS[step].get(current, frozenset()):
        return Decision(moves=True)
    if step is Step.FORWARD and current in WAY and wanted in WAY:
        return Decision(moves=False)
    return Decision(moves=False, refused=_why_not(current, wanted, step))


def _why_not(current: State | None, wanted: State, step: Step) -> str:
    if step is Step.RELEASE:
        stands = f"it is {current.value}" if current else "the ledger does not know it"
        return f"only a quarantined node is released, and only to {State.SET_ASIDE.value}: {stands}"
    if current is State.QUARANTINED:
        return "it is quarantined; only a release ends that"
    stands = current.value if current else "unknown to the ledger"
    return f"no {step.value} step leads from {stands} to {wanted.value}"
