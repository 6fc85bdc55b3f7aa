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

from ..storage.description import DiskDescription
from .machines import Machine, Status
from .matching import Wanted, same_bmc, serial_problem
from .transitions import (
    COMMISSION_FAILED,
    DEPLOY_FAILED,
    RELEASE_FAILED,
    TABLE,
    TESTS_FAILED,
    Action,
    State,
)


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
    """One step; `reason` and `remedy` are filled for REFUSE, `disk` (MAAS's id) where one is chosen."""

    action: Action
    reason: str = ""
    remedy: str = ""
    disk: int | None = None


_LOOK = "Look at the machine in MAAS."

# Where a failure after our own action ends the attempt. A failed deployment is tried once more, after a release.
_FAILURE_OF = {
    Status.FAILED_COMMISSIONING: (Action.COMMISSION, COMMISSION_FAILED),
    Status.FAILED_RELEASING: (Action.RELEASE, RELEASE_FAILED),
    Status.FAILED_DEPLOYMENT: (Action.RELEASE, DEPLOY_FAILED),
}

# Statuses in which the owner is nobody's user of the machine: MAAS notes who commissioned it.
_UNUSED = frozenset({Status.NEW, Status.COMMISSIONING, Status.FAILED_COMMISSIONING, Status.TESTING})

_OWNED = frozenset({Status.ALLOCATED, Status.RESCUE_MODE})
_OUTCOME = {
    Action.COMMISSION: Status.READY,
    Action.OVERRIDE_TESTS: Status.READY,
    Action.ALLOCATE: Status.ALLOCATED,
    Action.DEPLOY: Status.DEPLOYED,
    Action.RELEASE: Status.READY,
    Action.MARK_BROKEN: Status.BROKEN,
    Action.MARK_FIXED: Status.READY,
    Action.RESCUE: Status.RESCUE_MODE,
}
_AFTER_WAIT = {
    Status.COMMISSIONING: Status.READY,
    Status.DEPLOYING: Status.DEPLOYED,
    Status.RELEASING: Status.READY,
    Status.DISK_ERASING: Status.READY,
    Status.ENTERING_RESCUE_MODE: Status.RESCUE_MODE,
}
# These leave the status alone; what they set is another property of the machine.
_SETS: dict[Action, dict[str, bool | str]] = {
    Action.LOCK: {"locked": True},
    Action.UNLOCK: {"locked": False},
    Action.POWER_ON: {"power_state": "on"},
    Action.POWER_OFF: {"power_state": "off"},
}
# These leave it alone, too; by what they show their effect.
_CHOOSES = {Action.SET_BOOT_DISK: "boot_disk", Action.SET_STORAGE_LAYOUT: "root_disk"}
# Such requests do not disturb what runs on a machine in service.
_HARMLESS = frozenset({Action.LOCK, Action.UNLOCK, Action.POWER_ON})
# On the way to these a failed test does not stand, if nobody uses the machine: it is repeated, or asked for no more.
_PAST_TESTS = (State.RELEASED, State.RECOMMISSIONED)
# A run sends each of these once at most.
_ONCE = frozenset(Action) - {Action.COMMISSION, Action.DEPLOY, Action.RELEASE}


def shows_effect(action: Action, before: Machine, now: Machine) -> bool:
    """True where a machine shows that this action was carried out, or that something else happened to it since."""
    if action in _SETS:
        return any(getattr(now, name) == value for name, value in _SETS[action].items())
    if action in _CHOOSES and getattr(now, _CHOOSES[action]) != getattr(before, _CHOOSES[action]):
        return True
    # MAAS allocates a machine on the way to deploying it, and leaves it so when the second half fails.
    halfway = action is Action.DEPLOY and now.status == Status.ALLOCATED
    return now.status != before.status and not halfway


def next_step(machine: Machine, host: Wanted, goal: Goal, done: Sequence[Action] = ()) -> Step:
    """The next step of a machine towards the goal. `done` are the writing actions of this run, in order."""
    try:
        status = Status(machine.status)
    except ValueError:
        return _refuse(f"MAAS reports a status that is not known here ({machine.status_name}).", _LOOK)
    if goal.state is State.ENROLLED:
        problem = serial_problem(host, machine)
        return _refuse(problem.reason, problem.remedy) if problem else Step(Action.DONE)
    guard = _identity_problem(machine, host, status, goal, done) or _owner_problem(machine, goal, status)
    if guard:
        return guard
    spent = _spent(machine, status, goal, done)
    if spent:
        return spent
    cell = TABLE[goal.state][status]
    if _has_it(machine, goal.state) or (goal.state is State.RECOMMISSIONED and _proved(status, done)):
        return Step(Action.DONE)
    stands = machine.osystem or Action.COMMISSION in done
    if status is Status.FAILED_TESTING and goal.state in _PAST_TESTS and stands:
        # A deployed machine is still somebody's, and tests that this run asked for are overridden by nobody.
        cell = TESTS_FAILED
    if not isinstance(cell, Action):
        return _refuse(*_filled(cell, machine))
    step = Step(cell)
    if cell is Action.DEPLOY and host.os_disk is not None:
        step = _onto_disk(machine, host.os_disk, status)
    if step.action in _ONCE and step.action in done and step.action.writes:
        return _refuse(
            f"{step.action.value} had no effect: it is {machine.status_name}"
            f" (power {machine.power_state or 'unknown'}).",
            "Look at the machine's events in MAAS, and at its BMC.",
        )
    if cell is Action.DONE and status is Status.DEPLOYED and goal.state is State.DEPLOYED:
        return _deployed(machine, goal)
    return _write_problem(machine, goal, status, step.action) or step


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
        sets = _SETS.get(step.action, {_CHOOSES[step.action]: step.disk} if step.action in _CHOOSES else None)
        if sets is not None:
            done.append(step.action)
            machine = replace(machine, **sets)
            continue
        if step.action is Action.WAIT:
            after = _AFTER_WAIT.get(Status(machine.status))
        elif step.action.writes:
            done.append(step.action)
            after = _OUTCOME.get(step.action)
        if after is None:
            return Foresight(tuple(steps), machine)
        if machine.status in _UNUSED:
            # Commissioning finds the disks anew: which of them it will be cannot be foretold.
            host = replace(host, os_disk=None)
        if step.action is Action.COMMISSION and same_bmc(host, machine):
            machine = replace(machine, serial=host.serial)
        machine = _foreseen(machine, after, host, goal)


def _foreseen(machine: Machine, status: Status, host: Wanted, goal: Goal) -> Machine:
    deployed = status is Status.DEPLOYED
    was_deploying = machine.status == Status.DEPLOYING
    return replace(
        machine,
        status=int(status),
        status_name=status.name.replace("_", " ").capitalize(),
        owner=(machine.owner if was_deploying else goal.user) if deployed or status in _OWNED else None,
        locked=False,
        osystem=(machine.osystem if was_deploying else goal.osystem) if deployed else "",
        distro_series=(machine.distro_series if was_deploying else goal.distro_series) if deployed else "",
        serial=machine.serial or host.serial,
    )


def _onto_disk(machine: Machine, wanted: DiskDescription, status: Status) -> Step:
    """The next step of a machine that may be deployed, but onto one disk only."""
    found = wanted.among(machine.disks)
    if not machine.disks:
        return _refuse(
            "MAAS knows no disk of it, so none can be chosen for the system.",
            "Look at its storage controller, and commission it again.",
        )
    if len(found) != 1:
        listed = "; ".join(map(str, machine.disks))
        which = f"{len(found) or 'None'} of its {len(machine.disks)} disks {'are' if found else 'is'}"
        return _refuse(
            f"{which} as hardware.os_disk of its node class says ({wanted}), and it must be one: {listed}.",
            "Correct hardware.os_disk in the node class so that it describes exactly one of these disks; or mend"
            " what is built in, and commission the machine again.",
        )
    disk = found[0].id
    if status is Status.ALLOCATED:
        # MAAS shows no mount points of some allocated machines, and lets disks be chosen of Ready ones only.
        right = machine.boot_disk == disk and machine.root_disk in (disk, None)
        return Step(Action.DEPLOY if right else Action.RELEASE)
    if machine.boot_disk != disk:
        return Step(Action.SET_BOOT_DISK, disk=disk)
    # The layout stays on the former disk when another is booted from. An interrupted run may have left it so.
    return Step(Action.DEPLOY) if machine.root_disk == disk else Step(Action.SET_STORAGE_LAYOUT, disk=disk)


def _has_it(machine: Machine, state: State) -> bool:
    """True where a state that is no status of MAAS is reached."""
    wanted = {
        State.LOCKED: machine.locked,
        State.UNLOCKED: not machine.locked,
        State.POWERED_ON: machine.power_state == "on",
        State.POWERED_OFF: machine.power_state == "off",
    }
    return wanted.get(state, False)


def _refuse(reason: str, remedy: str) -> Step:
    return Step(Action.REFUSE, reason, remedy)


def _filled(cell: tuple[str, str], machine: Machine) -> tuple[str, str]:
    error = machine.error or machine.event or "MAAS gives no reason."
    return cell[0].format(error=error, status=machine.status_name), cell[1]


def _proved(status: Status, done: Sequence[Action]) -> bool:
    """True of a machine that this run has commissioned."""
    return status is Status.READY and Action.COMMISSION in done


def _identity_problem(
    machine: Machine, host: Wanted, status: Status, goal: Goal, done: Sequence[Action]
) -> Step | None:
    read_anew = _proved(status, done)
    problem = serial_problem(replace(host, bmc_address="") if read_anew else host, machine)
    if problem:
        return _refuse(problem.reason, problem.remedy)
    if goal.state is State.RECOMMISSIONED and not read_anew:
        return None
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
    if not done or done[-1] in _ONCE:
        return None
    stopped = {
        Action.COMMISSION: status is Status.NEW,
        Action.DEPLOY: status in (Status.READY, Status.ALLOCATED) and goal.state is State.DEPLOYED,
        Action.RELEASE: status in (Status.DEPLOYED, Status.ALLOCATED, Status.DEPLOYING) and Action.DEPLOY not in done,
    }
    if stopped[done[-1]]:
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
    if machine.locked and action is not Action.UNLOCK:
        return _refuse("It is locked in MAAS.", "Unlock it in MAAS if it may be changed, and run again.")
    serving = status is Status.DEPLOYED and action not in _HARMLESS
    if serving and goal.in_service_tag and goal.in_service_tag in machine.tags:
        return _refuse(
            f"It is in service (tag {goal.in_service_tag}).",
            "Set the node aside or drain it first; the tag is taken away then.",
        )
    return None
