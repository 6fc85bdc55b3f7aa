# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What leads from each status of MAAS to each state that may be wanted, as a table. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from .machines import Status


class Action(str, Enum):
    """What a step is. All but WAIT, DONE and REFUSE are writing requests, and their value is MAAS's name for them."""

    COMMISSION = "commission"
    OVERRIDE_TESTS = "override_failed_testing"
    ALLOCATE = "allocate"
    SET_BOOT_DISK = "set_boot_disk"
    SET_STORAGE_LAYOUT = "set_storage_layout"
    DEPLOY = "deploy"
    RELEASE = "release"
    MARK_BROKEN = "mark_broken"
    MARK_FIXED = "mark_fixed"
    RESCUE = "rescue_mode"
    EXIT_RESCUE = "exit_rescue_mode"
    LOCK = "lock"
    UNLOCK = "unlock"
    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    WAIT = "wait"
    DONE = "done"
    REFUSE = "refuse"

    @property
    def writes(self) -> bool:
        """True where the step changes something in MAAS."""
        return self not in (Action.WAIT, Action.DONE, Action.REFUSE)


class State(str, Enum):
    """What a machine may be wanted to be. One that is further on counts as enrolled, commissioned and allocated."""

    ENROLLED = "enrolled"
    COMMISSIONED = "commissioned"
    RECOMMISSIONED = "recommissioned"
    ALLOCATED = "allocated"
    DEPLOYED = "deployed"
    RELEASED = "released"
    BROKEN = "broken"
    FIXED = "fixed"
    RESCUE = "rescue"
    RESCUE_EXITED = "rescue_exited"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    POWERED_ON = "powered_on"
    POWERED_OFF = "powered_off"


_BROKEN = (
    "A person marked it broken in MAAS: {error}",
    "When it is repaired, mark it fixed in MAAS, and run again.",
)
_RESCUE = ("It is in rescue mode ({status}).", "Exit rescue mode in MAAS when the work on it is done, and run again.")
_GONE = ("MAAS says it is {status}.", "Bring it back in MAAS, or set its state to planned in the roster.")
TESTS_FAILED = (
    "MAAS's hardware tests failed.",
    "Read the test results in MAAS, repair it, and override or repeat the tests.",
)
_ERASE = ("Erasing its disks failed.", "Look at its disks; release it in MAAS without erasing, if that is acceptable.")
_RESERVED = ("It is reserved in MAAS.", "Release it in MAAS, and run again.")
COMMISSION_FAILED = (
    "Commissioning failed: {error}",
    "Read its commissioning results in MAAS, repair it, and run again.",
)
DEPLOY_FAILED = ("Deployment failed: {error}", "Read its installation log in MAAS, repair it, and run again.")
RELEASE_FAILED = ("Releasing failed: {error}", "Check its BMC and power state in MAAS, and run again.")

_IN_USE = (
    "It is {status}, and MAAS commissions only machines that nobody uses.",
    "Release it first (state released), and run again.",
)
_NOT_OWNED = (
    "MAAS lets only its user mark a machine broken, and nobody uses it.",
    "Commission it first, or note its fault with a tag.",
)
_NOT_DEPLOYED = ("It is {status}; MAAS locks deployed machines only.", "Deploy it first.")
_NOT_RUNNING = (
    "It is {status}; MAAS switches on deployed machines only, and would deploy an allocated one.",
    "Deploy it, or switch it on by its BMC.",
)

# A text pair is a refusal: reason and remedy.
Cell: TypeAlias = "Action | tuple[str, str]"
# Status -> what to do for (commissioned, deployed, released).
_COMMON: Mapping[Status, tuple[Cell, Cell, Cell]] = {
    Status.NEW: (Action.COMMISSION, Action.COMMISSION, Action.DONE),
    Status.COMMISSIONING: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_COMMISSIONING: (Action.COMMISSION, Action.COMMISSION, Action.DONE),
    Status.MISSING: (_GONE, _GONE, _GONE),
    Status.READY: (Action.DONE, Action.DEPLOY, Action.DONE),
    Status.RESERVED: (Action.DONE, _RESERVED, _RESERVED),
    Status.DEPLOYED: (Action.DONE, Action.DONE, Action.RELEASE),
    Status.RETIRED: (_GONE, _GONE, _GONE),
    Status.BROKEN: (_BROKEN, _BROKEN, _BROKEN),
    Status.DEPLOYING: (Action.DONE, Action.WAIT, Action.RELEASE),
    Status.ALLOCATED: (Action.DONE, Action.DEPLOY, Action.RELEASE),
    Status.FAILED_DEPLOYMENT: (Action.DONE, Action.RELEASE, Action.RELEASE),
    Status.RELEASING: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_RELEASING: (RELEASE_FAILED, Action.RELEASE, Action.RELEASE),
    Status.DISK_ERASING: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_DISK_ERASING: (_ERASE, _ERASE, _ERASE),
    Status.RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.ENTERING_RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.FAILED_ENTERING_RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.EXITING_RESCUE_MODE: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_EXITING_RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.TESTING: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_TESTING: (TESTS_FAILED, TESTS_FAILED, Action.DONE),
}
# What is under way comes to an end by itself.
_UNDER_WAY: Mapping[Status, Cell] = dict.fromkeys(
    (
        Status.COMMISSIONING,
        Status.DEPLOYING,
        Status.RELEASING,
        Status.DISK_ERASING,
        Status.ENTERING_RESCUE_MODE,
        Status.EXITING_RESCUE_MODE,
        Status.TESTING,
    ),
    Action.WAIT,
)
_NOT_THERE: Mapping[Status, Cell] = {Status.MISSING: _GONE, Status.RETIRED: _GONE}
_IN_RESCUE: Mapping[Status, Cell] = {
    Status.RESCUE_MODE: _RESCUE,
    Status.ENTERING_RESCUE_MODE: _RESCUE,
    Status.FAILED_ENTERING_RESCUE_MODE: _RESCUE,
    Status.FAILED_EXITING_RESCUE_MODE: _RESCUE,
}


def _row(usual: Cell, *special: Mapping[Status, Cell]) -> dict[Status, Cell]:
    """The same for every status, but for the special ones; a later mapping wins."""
    row = dict.fromkeys(Status, usual)
    for mapping in special:
        row.update(mapping)
    return row


TABLE: Mapping[State, Mapping[Status, Cell]] = {
    State.ENROLLED: _row(Action.DONE),
    State.COMMISSIONED: {status: cells[0] for status, cells in _COMMON.items()},
    State.RECOMMISSIONED: _row(
        _IN_USE,
        _UNDER_WAY,
        _NOT_THERE,
        _IN_RESCUE,
        {
            Status.NEW: Action.COMMISSION,
            Status.FAILED_COMMISSIONING: Action.COMMISSION,
            Status.READY: Action.COMMISSION,
            # The tests are repeated, so nothing is hidden by it; MAAS commissions such a machine in no other way.
            Status.FAILED_TESTING: Action.OVERRIDE_TESTS,
            Status.EXITING_RESCUE_MODE: Action.WAIT,
            Status.DEPLOYING: _IN_USE,
            Status.BROKEN: _BROKEN,
            Status.RESERVED: _RESERVED,
            Status.FAILED_RELEASING: RELEASE_FAILED,
            Status.FAILED_DISK_ERASING: _ERASE,
        },
    ),
    State.ALLOCATED: {status: cells[0] for status, cells in _COMMON.items()} | {Status.READY: Action.ALLOCATE},
    State.DEPLOYED: {status: cells[1] for status, cells in _COMMON.items()},
    State.RELEASED: {status: cells[2] for status, cells in _COMMON.items()},
    State.BROKEN: _row(
        Action.MARK_BROKEN,
        _UNDER_WAY,
        _NOT_THERE,
        _IN_RESCUE,
        {
            Status.NEW: _NOT_OWNED,
            Status.RESERVED: _RESERVED,
            Status.READY: Action.ALLOCATE,
            Status.BROKEN: Action.DONE,
        },
    ),
    State.FIXED: _row(Action.DONE, {Status.BROKEN: Action.MARK_FIXED}),
    State.RESCUE: _row(
        Action.RESCUE,
        _UNDER_WAY,
        {
            Status.RESCUE_MODE: Action.DONE,
            Status.FAILED_RELEASING: RELEASE_FAILED,
            Status.FAILED_EXITING_RESCUE_MODE: _RESCUE,
        },
    ),
    State.RESCUE_EXITED: _row(
        Action.DONE,
        {
            Status.RESCUE_MODE: Action.EXIT_RESCUE,
            Status.FAILED_ENTERING_RESCUE_MODE: Action.EXIT_RESCUE,
            Status.FAILED_EXITING_RESCUE_MODE: Action.EXIT_RESCUE,
            Status.ENTERING_RESCUE_MODE: Action.WAIT,
            Status.EXITING_RESCUE_MODE: Action.WAIT,
        },
    ),
    State.LOCKED: _row(_NOT_DEPLOYED, {Status.DEPLOYED: Action.LOCK, Status.DEPLOYING: Action.LOCK}),
    State.UNLOCKED: _row(Action.UNLOCK),
    State.POWERED_ON: _row(_NOT_RUNNING, _UNDER_WAY, _NOT_THERE, {Status.DEPLOYED: Action.POWER_ON}),
    State.POWERED_OFF: _row(Action.POWER_OFF, _UNDER_WAY, _NOT_THERE, _IN_RESCUE),
}
