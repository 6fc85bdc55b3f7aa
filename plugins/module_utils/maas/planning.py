# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do next with a machine, so that it reaches a goal: a table and the refusals that stand above it.

Pure: no requests, no clock. `next_step` is asked again after every poll, so that an interrupted run, a hand at
MAAS's own pages or a failure lead to the right continuation rather than to a repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from .machines import Machine, Status
from .matching import Wanted, serial_problem


class Action(str, Enum):
    """What a step is. COMMISSION, DEPLOY and RELEASE are writing requests, the others are none."""

    COMMISSION = "commission"
    DEPLOY = "deploy"
    RELEASE = "release"
    WAIT = "wait"
    DONE = "done"
    REFUSE = "refuse"

    @property
    def writes(self) -> bool:
        """True where the step changes something in MAAS."""
        return self in (Action.COMMISSION, Action.DEPLOY, Action.RELEASE)


class State(str, Enum):
    """What a machine may be wanted to be. A deployed machine counts as commissioned."""

    COMMISSIONED = "commissioned"
    DEPLOYED = "deployed"
    RELEASED = "released"


@dataclass(frozen=True)
class Goal:
    """The state wanted for every machine of a call.

    `osystem` and `distro_series` are compared where they are not empty. `user` is the name in MAAS of the key's
    user. A deployed machine that carries the tag `in_service_tag` is never deployed or released.
    """

    state: State
    user: str
    osystem: str = ""
    distro_series: str = ""
    in_service_tag: str = ""


@dataclass(frozen=True)
class Step:
    """One step; `reason` and `remedy` are filled for REFUSE."""

    action: Action
    reason: str = ""
    remedy: str = ""


_LOOK = "Look at the machine in MAAS."
_BROKEN = (
    "A person marked it broken in MAAS: {error}",
    "When it is repaired, mark it fixed in MAAS, and run again.",
)
_RESCUE = ("It is in rescue mode ({status}).", "Exit rescue mode in MAAS when the work on it is done, and run again.")
_GONE = ("MAAS says it is {status}.", "Bring it back in MAAS, or set its state to planned in the roster.")
_TESTS = (
    "MAAS's hardware tests failed.",
    "Read the test results in MAAS, repair it, and override or repeat the tests.",
)
_ERASE = ("Erasing its disks failed.", "Look at its disks; release it in MAAS without erasing, if that is acceptable.")
_RESERVED = ("It is reserved in MAAS.", "Release it in MAAS, and run again.")
_COMMISSION = ("Commissioning failed: {error}", "Read its commissioning results in MAAS, repair it, and run again.")
_DEPLOY = ("Deployment failed: {error}", "Read its installation log in MAAS, repair it, and run again.")
_RELEASE = ("Releasing failed: {error}", "Check its BMC and power state in MAAS, and run again.")

# Status -> what to do for (commissioned, deployed, released). A text pair is a refusal: reason and remedy.
_Cell: TypeAlias = "Action | tuple[str, str]"
_TABLE: dict[Status, tuple[_Cell, _Cell, _Cell]] = {
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
    Status.FAILED_RELEASING: (_RELEASE, Action.RELEASE, Action.RELEASE),
    Status.DISK_ERASING: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_DISK_ERASING: (_ERASE, _ERASE, _ERASE),
    Status.RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.ENTERING_RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.FAILED_ENTERING_RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.EXITING_RESCUE_MODE: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_EXITING_RESCUE_MODE: (_RESCUE, _RESCUE, _RESCUE),
    Status.TESTING: (Action.WAIT, Action.WAIT, Action.WAIT),
    Status.FAILED_TESTING: (_TESTS, _TESTS, _TESTS),
}
_COLUMN = {State.COMMISSIONED: 0, State.DEPLOYED: 1, State.RELEASED: 2}

# Where a failure after our own action ends the attempt. A failed deployment is tried once more, after a release.
_FAILURE_OF = {
    Status.FAILED_COMMISSIONING: (Action.COMMISSION, _COMMISSION),
    Status.FAILED_RELEASING: (Action.RELEASE, _RELEASE),
    Status.FAILED_DEPLOYMENT: (Action.RELEASE, _DEPLOY),
}

# Statuses in which the owner is nobody's user of the machine: MAAS notes who commissioned it.
_UNUSED = frozenset({Status.NEW, Status.COMMISSIONING, Status.FAILED_COMMISSIONING, Status.TESTING})

_OUTCOME = {
    Action.COMMISSION: Status.READY,
    Action.DEPLOY: Status.DEPLOYED,
    Action.RELEASE: Status.READY,
}
_AFTER_WAIT = {
    Status.COMMISSIONING: Status.READY,
    Status.DEPLOYING: Status.DEPLOYED,
    Status.RELEASING: Status.READY,
    Status.DISK_ERASING: Status.READY,
}


def next_step(machine: Machine, host: Wanted, goal: Goal, done: Sequence[Action] = ()) -> Step:
    """The next step of a machine towards the goal. `done` are the writing actions of this run, in order."""
    try:
        status = Status(machine.status)
    except ValueError:
        return _refuse(f"MAAS reports a status that is not known here ({machine.status_name}).", _LOOK)
    guard = _identity_problem(machine, host, status) or _owner_problem(machine, goal, status)
    if guard:
        return guard
    spent = _spent(machine, status, goal, done)
    if spent:
        return spent
    cell = _TABLE[status][_COLUMN[goal.state]]
    if not isinstance(cell, Action):
        return _refuse(*_filled(cell, machine))
    if cell is Action.DONE and status is Status.DEPLOYED and goal.state is State.DEPLOYED:
        return _deployed(machine, goal)
    return _write_problem(machine, goal, status, cell) or Step(cell)


@dataclass(frozen=True)
class Foresight:
    """Every step from here if nothing fails, and the machine as it would be then.

    The last step is DONE, REFUSE, or a WAIT whose outcome cannot be foretold.
    """

    steps: tuple[Step, ...]
    machine: Machine


def foresee(machine: Machine, host: Wanted, goal: Goal) -> Foresight:
    """Follow the table to its end."""
    steps: list[Step] = []
    done: list[Action] = []
    while True:
        step = next_step(machine, host, goal, done)
        steps.append(step)
        after: Status | None = None
        if step.action is Action.WAIT:
            after = _AFTER_WAIT.get(Status(machine.status))
        elif step.action.writes:
            done.append(step.action)
            after = _OUTCOME[step.action]
        if after is None:
            return Foresight(tuple(steps), machine)
        machine = _foreseen(machine, after, host, goal)


def _foreseen(machine: Machine, status: Status, host: Wanted, goal: Goal) -> Machine:
    deployed = status is Status.DEPLOYED
    was_deploying = machine.status == Status.DEPLOYING
    return replace(
        machine,
        status=int(status),
        status_name=status.name.replace("_", " ").capitalize(),
        owner=(machine.owner if was_deploying else goal.user) if deployed else None,
        locked=False,
        osystem=(machine.osystem if was_deploying else goal.osystem) if deployed else "",
        distro_series=(machine.distro_series if was_deploying else goal.distro_series) if deployed else "",
        serial=machine.serial or host.serial,
    )


def _refuse(reason: str, remedy: str) -> Step:
    return Step(Action.REFUSE, reason, remedy)


def _filled(cell: tuple[str, str], machine: Machine) -> tuple[str, str]:
    error = machine.error or machine.event or "MAAS gives no reason."
    return cell[0].format(error=error, status=machine.status_name), cell[1]


def _identity_problem(machine: Machine, host: Wanted, status: Status) -> Step | None:
    problem = serial_problem(host, machine)
    if problem:
        return _refuse(problem.reason, problem.remedy)
    if status is Status.READY and host.serial and not machine.serial:
        return _refuse(
            f"MAAS read no serial from the machine, so it cannot be told whether it is the one with {host.serial}.",
            "Set the serial in its BMC and commission it again, or take the serial out of the roster.",
        )
    return None


def _owner_problem(machine: Machine, goal: Goal, status: Status) -> Step | None:
    if machine.owner and machine.owner != goal.user and status not in _UNUSED:
        return _refuse(
            f"It belongs to {machine.owner} in MAAS, not to {goal.user}.",
            f"Have {machine.owner} release it, or use that user's API key.",
        )
    return None


def _spent(machine: Machine, status: Status, goal: Goal, done: Sequence[Action]) -> Step | None:
    """The end of an attempt that failed, or that somebody stopped in MAAS meanwhile."""
    if status in _FAILURE_OF:
        action, text = _FAILURE_OF[status]
        if action in done:
            return _refuse(*_filled(text, machine))
        return None
    stopped = {
        Action.COMMISSION: status is Status.NEW,
        Action.DEPLOY: status in (Status.READY, Status.ALLOCATED) and goal.state is State.DEPLOYED,
        Action.RELEASE: status in (Status.DEPLOYED, Status.ALLOCATED, Status.DEPLOYING) and Action.DEPLOY not in done,
    }
    if done and stopped[done[-1]]:
        return _refuse(
            f"After {done[-1].value} it is {machine.status_name} again: somebody or something stopped it in MAAS.",
            "Find out who in MAAS's event log, and run again.",
        )
    return None


def _deployed(machine: Machine, goal: Goal) -> Step:
    wanted = (goal.osystem or machine.osystem, goal.distro_series or machine.distro_series)
    if wanted == (machine.osystem, machine.distro_series):
        return Step(Action.DONE)
    return _refuse(
        f"It is deployed with {machine.osystem}/{machine.distro_series}, wanted is {'/'.join(wanted)}.",
        "Deploying anew erases it: release it first (state released), and run again.",
    )


def _write_problem(machine: Machine, goal: Goal, status: Status, action: Action) -> Step | None:
    if not action.writes:
        return None
    if machine.locked:
        return _refuse("It is locked in MAAS.", "Unlock it in MAAS if it may be changed, and run again.")
    if status is Status.DEPLOYED and goal.in_service_tag and goal.in_service_tag in machine.tags:
        return _refuse(
            f"It is in service (tag {goal.in_service_tag}).",
            "Set the node aside or drain it first; the tag is taken away then.",
        )
    return None
