# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did, or would do, as plain data: per machine, and before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .fleet import Outcome
from .machines import Machine
from .matching import Problem, Wanted
from .planning import Goal, foresee
from .transitions import Action

_FACTS = ("system_id", "status", "status_name", "serial", "addresses", "primary_address")
_SHOWN = ("osystem", "distro_series", "owner", "pool", "zone", "description")


def foretell(hosts: Sequence[tuple[Wanted, Machine]], goal: Goal) -> tuple[dict[str, Outcome], dict[str, Machine]]:
    """What a run would do with each machine, and what the machine would be then, both by host name."""
    outcomes: dict[str, Outcome] = {}
    machines: dict[str, Machine] = {}
    for host, machine in hosts:
        foresight = foresee(machine, host, goal)
        outcome = Outcome(host.name, machine, machine)
        outcome.actions = [step.action for step in foresight.steps if step.action.writes]
        last = foresight.steps[-1]
        if last.action is Action.REFUSE:
            outcome.fail(Problem(last.reason, last.remedy))
        outcomes[host.name], machines[host.name] = outcome, foresight.machine
    return outcomes, machines


def result(outcome: Outcome, tags: Sequence[str], enrolled: Sequence[str] = ()) -> dict[str, Any]:
    """The result of one host, as the module's documentation describes it.

    `enrolled` is what was done to it before the outcome, `tags` those that it was given after.
    """
    facts = outcome.machine.as_vars()
    actions = [*enrolled, *(action.value for action in outcome.actions), *(f"tag:{tag}" for tag in tags)]
    return {
        **{key: facts[key] for key in _FACTS},
        "actions": actions,
        "changed": bool(actions),
        "failed": outcome.failed,
        "reason": outcome.reason,
        "remedy": outcome.remedy,
        "event": outcome.event,
    }


def diff(
    outcomes: Mapping[str, Outcome],
    after: Mapping[str, Machine],
    tagged: Mapping[str, Sequence[str]],
    enrolled: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> dict[str, Any]:
    """Ansible's diff of the machines that change: `before` and `after` by host name."""
    shown: dict[str, Any] = {"before": {}, "after": {}}
    for name, outcome in outcomes.items():
        if outcome.actions or name in tagged:
            shown["before"][name] = _shown(outcome.before)
            shown["after"][name] = _shown(after[name], tagged.get(name, ()))
            if {Action.POWER_ON, Action.POWER_OFF} & set(outcome.actions):
                shown["before"][name]["power_state"] = outcome.before.power_state
                shown["after"][name]["power_state"] = after[name].power_state
            if {Action.SET_BOOT_DISK, Action.SET_STORAGE_LAYOUT} & set(outcome.actions):
                shown["before"][name] |= _disks(outcome.before)
                shown["after"][name] |= _disks(after[name])
    for name, (before, then) in enrolled.items():
        for side, fields in (("before", before), ("after", then)):
            if fields:
                shown[side].setdefault(name, {}).update(fields)
    return shown


def _disks(machine: Machine) -> dict[str, str]:
    known = {disk.id: str(disk) for disk in machine.disks}
    return {
        "boot_disk": known.get(machine.boot_disk or 0, ""),
        "root_disk": known.get(machine.root_disk or 0, ""),
    }


def _shown(machine: Machine, tags: Sequence[str] = ()) -> dict[str, Any]:
    facts = machine.as_vars()
    return {
        "status": machine.status_name,
        "locked": machine.locked,
        "tags": sorted({*machine.tags, *tags}),
        **{key: facts[key] for key in _SHOWN},
    }
