# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into the ledger and what comes back: plain values, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..findings import Finding
from .ledger_file import LedgerError
from .states import State, Step

# Among the components that passed: all that the node has or had, whatever they are called.
EVERY_COMPONENT = "*"


class LockHeldError(LedgerError):
    """Nodes are held by another run. `held` has what the ledger says about each."""

    def __init__(self, held: Sequence[Lock]) -> None:
        self.held = list(held)
        lines = ", ".join(f"{lock.node} by {lock.holder}" for lock in held)
        super().__init__(f"held by another run: {lines}. Wait for that run to end, or for the lock to expire.")


@dataclass(frozen=True)
class StateChange:
    """A wish for one node. Without a reason, the first finding of the batch that keeps the node out is it."""

    node: str
    state: State
    reason: str = ""
    step: Step = Step.FORWARD
    node_class: str | None = None
    serial: str | None = None
    until: str | None = None


@dataclass(frozen=True)
class Action:
    """What was done to a node: `drained`, `bmc_reset`, `part_swapped`; the batch says by whom and in which run."""

    node: str
    action: str
    detail: str = ""


@dataclass(frozen=True)
class Part:
    """A part as a node shows it. `slot` is where it sits, `component` what findings call it (`gpu:3`).

    `serial` is empty where the part tells none; `uid` (UUID, GUID) where it has none.
    """

    slot: str
    component: str
    serial: str = ""
    uid: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True)
class Reading:
    """The parts of one kind in one node. Only of a complete reading an absent part is known to be absent."""

    parts: Sequence[Part]
    complete: bool


@dataclass(frozen=True)
class Batch:
    """What one phase of a run has to say, written at once.

    `passed` are the components that passed, by node and check; `[EVERY_COMPONENT]` of a check that passed wholly.
    `parts` is what was read of each node's parts, by kind; a kind that could not be read at all is not there.
    """

    run: str
    phase: str
    playbook: str = ""
    operator: str = ""
    states: Sequence[StateChange] = ()
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    passed: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    actions: Sequence[Action] = ()
    parts: Mapping[str, Mapping[str, Reading]] = field(default_factory=dict)


@dataclass(frozen=True)
class Transition:
    """A node that moved."""

    node: str
    before: str | None
    after: str
    reason: str


@dataclass(frozen=True)
class Lock:
    """Who holds a node, in which run, until when (UTC)."""

    node: str
    owner: str
    run: str
    acquired: str
    expires: str

    @property
    def holder(self) -> str:
        """Owner, run and expiry, for a sentence."""
        return f"{self.owner} (run {self.run}) until {self.expires}"


@dataclass
class Recorded:
    """What came of a batch: who moved, whose wish was refused and why, and whom another run holds.

    Everything else is written. A node in `held` would have moved; it stays as it was.
    """

    transitions: list[Transition] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    held: dict[str, Lock] = field(default_factory=dict)
