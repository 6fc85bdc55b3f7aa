# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done next with a machine: the table for every status, and the refusals above it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine, Status
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.planning import Goal, foresee, next_step
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.transitions import Action, State

HOST = Wanted("node01", serial="S1")
GOALS = {
    "c": Goal(State.COMMISSIONED, "me", in_service_tag="in_service"),
    "d": Goal(State.DEPLOYED, "me", "ubuntu", "noble", "in_service"),
    "r": Goal(State.RELEASED, "me", in_service_tag="in_service"),
    "a": Goal(State.RECOMMISSIONED, "me", in_service_tag="in_service"),
}
LETTERS = {
    "c": Action.COMMISSION,
    "d": Action.DEPLOY,
    "r": Action.RELEASE,
    "o": Action.OVERRIDE_TESTS,
    "w": Action.WAIT,
    ".": Action.DONE,
    "x": Action.REFUSE,
}


def machine(status: Status | int, **changes: Any) -> Machine:
    label = status.name if isinstance(status, Status) else str(status)
    deployed = {"osystem": "ubuntu", "distro_series": "noble"} if status == Status.DEPLOYED else {}
    return Machine(
        **{"system_id": "abc", "hostname": "node01", "status": int(status), "status_name": label, "serial": "S1"}
        | deployed
        | changes
    )


# One row per status of MAAS; the letters say what is done for commissioned, deployed, released, commissioned anew.
TABLE = """
NEW                         c c . c
COMMISSIONING               w w w w
FAILED_COMMISSIONING        c c . c
MISSING                     x x x x
READY                       . d . c
RESERVED                    . x x x
DEPLOYED                    . . r x
RETIRED                     x x x x
BROKEN                      x x x x
DEPLOYING                   . w r x
ALLOCATED                   . d r x
FAILED_DEPLOYMENT           . r r x
RELEASING                   w w w w
FAILED_RELEASING            x r r x
DISK_ERASING                w w w w
FAILED_DISK_ERASING         x x x x
RESCUE_MODE                 x x x x
ENTERING_RESCUE_MODE        x x x x
FAILED_ENTERING_RESCUE_MODE x x x x
EXITING_RESCUE_MODE         w w w w
FAILED_EXITING_RESCUE_MODE  x x x x
TESTING                     w w w w
FAILED_TESTING              x x . o
"""
CASES = [
    (Status[row.split()[0]], goal, LETTERS[letter])
    for row in TABLE.strip().splitlines()
    for goal, letter in zip("cdra", row.split()[1:], strict=True)
]


def test_the_table_covers_every_status_of_maas() -> None:
    assert {status for status, _, _ in CASES} == set(Status)
    assert [int(status) for status in Status] == list(range(23))


@pytest.mark.parametrize(("status", "goal", "action"), CASES)
def test_each_status_leads_to_its_action(status: Status, goal: str, action: Action) -> None:
    step = next_step(machine(status), HOST, GOALS[goal])
    assert step.action is action
    assert bool(step.reason and step.remedy) is (action is Action.REFUSE)


def test_a_status_of_a_later_maas_is_refused() -> None:
    assert next_step(machine(99), HOST, GOALS["d"]).action is Action.REFUSE


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("goal", list("cdra"))
def test_a_locked_machine_is_never_written_to(status: Status, goal: str) -> None:
    assert not next_step(machine(status, locked=True), HOST, GOALS[goal]).action.writes


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("goal", list("cdra"))
def test_another_users_machine_is_never_deployed_or_released(status: Status, goal: str) -> None:
    step = next_step(machine(status, owner="alice"), HOST, GOALS[goal])
    assert step.action not in (Action.DEPLOY, Action.RELEASE)


def test_another_users_deployed_machine_is_refused_even_if_it_looks_right() -> None:
    step = next_step(machine(Status.DEPLOYED, owner="alice"), HOST, GOALS["d"])
    assert step.action is Action.REFUSE
    assert "alice" in step.reason and "me" in step.reason


def test_who_commissioned_a_machine_does_not_own_it() -> None:
    assert next_step(machine(Status.FAILED_COMMISSIONING, owner="alice"), HOST, GOALS["d"]).action is Action.COMMISSION


def test_a_machine_in_service_is_not_released_and_stays_deployed() -> None:
    serving = machine(Status.DEPLOYED, owner="me", tags=("in_service",))
    released = next_step(serving, HOST, GOALS["r"])
    assert released.action is Action.REFUSE and "in service" in released.reason
    assert next_step(serving, HOST, GOALS["d"]).action is Action.DONE
    unprotected = Goal(State.RELEASED, "me", in_service_tag="")
    assert next_step(serving, HOST, unprotected).action is Action.RELEASE


def after_commissioning(status: Status, **more: Any) -> Action:
    return next_step(machine(status, **more), HOST, GOALS["a"], [Action.COMMISSION]).action


def test_a_machine_is_commissioned_anew_once_in_a_run() -> None:
    assert after_commissioning(Status.COMMISSIONING) is Action.WAIT
    assert after_commissioning(Status.TESTING) is Action.WAIT
    assert after_commissioning(Status.READY) is Action.DONE
    assert after_commissioning(Status.FAILED_COMMISSIONING) is Action.REFUSE
    assert after_commissioning(Status.FAILED_TESTING) is Action.REFUSE, "what it asked for itself is not overridden"
    steps = [step.action for step in foresee(machine(Status.FAILED_TESTING), HOST, GOALS["a"]).steps]
    assert steps == [Action.OVERRIDE_TESTS, Action.COMMISSION, Action.DONE]


@pytest.mark.parametrize("goal", list("ra"))
def test_failed_tests_of_a_deployed_machine_are_a_persons_affair(goal: str) -> None:
    step = next_step(machine(Status.FAILED_TESTING, osystem="ubuntu"), HOST, GOALS[goal])
    assert step.action is Action.REFUSE and "hardware tests failed" in step.reason


def test_a_serial_is_missed_only_when_it_was_read_anew() -> None:
    assert next_step(machine(Status.READY, serial=""), HOST, GOALS["a"]).action is Action.COMMISSION
    assert after_commissioning(Status.READY, serial="") is Action.REFUSE


def test_another_main_board_is_believed_until_it_was_read_anew() -> None:
    """MAAS read S0 from the board before; the BMC by which MAAS switches the machine told S1."""
    host = replace(HOST, bmc_address="10.0.1.1")
    same = machine(Status.READY, serial="S0", bmc_address="https://10.0.1.1/")
    assert next_step(same, host, GOALS["a"]).action is Action.COMMISSION
    assert next_step(same, HOST, GOALS["a"]).action is Action.REFUSE
    assert next_step(replace(same, bmc_address="10.0.1.2"), host, GOALS["a"]).action is Action.REFUSE
    assert next_step(same, host, GOALS["a"], [Action.COMMISSION]).action is Action.REFUSE
    foreseen = foresee(same, host, GOALS["a"])
    assert [step.action for step in foreseen.steps] == [Action.COMMISSION, Action.DONE]
    assert foreseen.machine.serial == "S1"


def test_the_tag_left_on_a_released_machine_does_not_keep_it_from_deployment() -> None:
    assert next_step(machine(Status.READY, tags=("in_service",)), HOST, GOALS["d"]).action is Action.DEPLOY


@pytest.mark.parametrize(
    ("osystem", "series", "action"),
    [
        ("ubuntu", "noble", Action.DONE),
        ("ubuntu", "jammy", Action.REFUSE),
        ("custom", "noble", Action.REFUSE),
    ],
)
def test_a_machine_deployed_with_something_else_is_refused_not_erased(
    osystem: str, series: str, action: Action
) -> None:
    step = next_step(machine(Status.DEPLOYED, osystem=osystem, distro_series=series), HOST, GOALS["d"])
    assert step.action is action
    assert action is Action.DONE or f"{osystem}/{series}" in step.reason


def test_any_operating_system_will_do_where_none_is_wanted() -> None:
    assert next_step(machine(Status.DEPLOYED), HOST, Goal(State.DEPLOYED, "me")).action is Action.DONE


@pytest.mark.parametrize("status", list(Status))
def test_another_serial_is_refused_in_every_status(status: Status) -> None:
    step = next_step(machine(status, serial="S2"), HOST, GOALS["d"])
    assert step.action is Action.REFUSE
    assert "S1" in step.reason and "S2" in step.reason


def test_a_serial_is_read_by_commissioning_and_then_required() -> None:
    assert next_step(machine(Status.NEW, serial=""), HOST, GOALS["d"]).action is Action.COMMISSION
    assert next_step(machine(Status.READY, serial=""), HOST, GOALS["d"]).action is Action.REFUSE
    assert next_step(machine(Status.READY, serial=""), Wanted("node01"), GOALS["d"]).action is Action.DEPLOY


COMMISSION, DEPLOY, RELEASE = Action.COMMISSION, Action.DEPLOY, Action.RELEASE


@pytest.mark.parametrize(
    ("status", "goal", "done", "action"),
    [
        # A failed deployment is released and tried once more, and only once.
        (Status.FAILED_DEPLOYMENT, "d", [DEPLOY], RELEASE),
        (Status.READY, "d", [DEPLOY, RELEASE], DEPLOY),
        (Status.READY, "d", [RELEASE], DEPLOY),
        (Status.DEPLOYING, "d", [DEPLOY, RELEASE, DEPLOY], Action.WAIT),
        (Status.FAILED_DEPLOYMENT, "d", [DEPLOY, RELEASE, DEPLOY], Action.REFUSE),
        (Status.FAILED_DEPLOYMENT, "d", [RELEASE, DEPLOY], Action.REFUSE),
        # Commissioning is tried once.
        (Status.FAILED_COMMISSIONING, "d", [COMMISSION], Action.REFUSE),
        (Status.READY, "d", [COMMISSION], DEPLOY),
        # Somebody stopped what was begun: that is a person's decision.
        (Status.READY, "d", [DEPLOY], Action.REFUSE),
        (Status.ALLOCATED, "d", [DEPLOY], Action.REFUSE),
        (Status.NEW, "d", [COMMISSION], Action.REFUSE),
        (Status.DEPLOYED, "r", [RELEASE], Action.REFUSE),
        (Status.FAILED_RELEASING, "r", [RELEASE], Action.REFUSE),
        (Status.READY, "r", [RELEASE], Action.DONE),
    ],
)
def test_what_this_run_has_done_counts(status: Status, goal: str, done: list[Action], action: Action) -> None:
    assert next_step(machine(status), HOST, GOALS[goal], done).action is action


def test_a_refusal_after_a_failure_says_why_maas_thinks_it_failed() -> None:
    step = next_step(machine(Status.FAILED_DEPLOYMENT, error="curtin failed."), HOST, GOALS["d"], [RELEASE, DEPLOY])
    assert "curtin failed." in step.reason
    step = next_step(machine(Status.BROKEN, event="Marked broken"), HOST, GOALS["d"])
    assert "Marked broken" in step.reason


@pytest.mark.parametrize(
    ("start", "goal", "actions"),
    [
        (machine(Status.NEW, serial=""), "d", [COMMISSION, DEPLOY, Action.DONE]),
        (machine(Status.FAILED_DEPLOYMENT), "d", [RELEASE, DEPLOY, Action.DONE]),
        (machine(Status.COMMISSIONING), "d", [Action.WAIT, DEPLOY, Action.DONE]),
        (machine(Status.READY), "d", [DEPLOY, Action.DONE]),
        (machine(Status.DEPLOYED), "d", [Action.DONE]),
        (machine(Status.DEPLOYED), "r", [RELEASE, Action.DONE]),
        (machine(Status.NEW, serial=""), "c", [COMMISSION, Action.DONE]),
        (machine(Status.DEPLOYING, osystem="ubuntu", distro_series="noble"), "d", [Action.WAIT, Action.DONE]),
        (machine(Status.DEPLOYING, osystem="ubuntu", distro_series="jammy"), "d", [Action.WAIT, Action.REFUSE]),
        (machine(Status.READY, locked=True), "d", [Action.REFUSE]),
        (machine(Status.TESTING), "d", [Action.WAIT]),
    ],
)
def test_the_whole_path_is_foretold(start: Machine, goal: str, actions: list[Action]) -> None:
    assert [step.action for step in foresee(start, HOST, GOALS[goal]).steps] == actions


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("goal", list("cdra"))
def test_every_path_ends(status: Status, goal: str) -> None:
    steps = foresee(machine(status), HOST, GOALS[goal]).steps
    assert len(steps) <= 5
    assert steps[-1].action in (Action.DONE, Action.REFUSE, Action.WAIT)
