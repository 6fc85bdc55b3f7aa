# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet on its way: one request per poll, no machine started twice, each failure with its reason."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import errors
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import ApiKey, Client, Retry
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.fleet import (
    Deployment,
    Fleet,
    Outcome,
    Pace,
    Progress,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Status
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.planning import Goal
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.requests import find, list_machines
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.transitions import State
from fake_maas import KEY, URL, Box, Clock, FakeMaas, broken, text

FAILS = [Status.DEPLOYING, Status.FAILED_DEPLOYMENT]


class Rig:
    """A client, a fleet and a clock round a fake MAAS."""

    def __init__(self, maas: FakeMaas, **pace: Any) -> None:
        self.maas = maas
        self.clock = Clock()
        self.lines: list[Progress] = []
        self.client = Client(
            URL, ApiKey.parse(KEY), maas, sleep=self.clock.sleep, clock=self.clock, retry=Retry(attempts=2)
        )
        self.pace = Pace(**({"poll": 10.0, "timeout": 600.0} | pace))

    def run(
        self, state: State = State.DEPLOYED, user_data: dict[str, str] | None = None, **options: Any
    ) -> dict[str, Outcome]:
        hosts = [(Wanted(machine.hostname), machine) for machine in list_machines(self.client)]
        self.maas.requests.clear()
        fleet = Fleet(
            self.client,
            Goal(state, "admin", "ubuntu", "noble", "in_service"),
            Deployment("ubuntu", "noble", "ga-24.04", user_data or {}),
            pace=self.pace,
            progress=self.lines.append,
            sleep=self.clock.sleep,
            monotonic=self.clock,
            **options,
        )
        return fleet.run(hosts)


def actions(outcome: Outcome) -> list[str]:
    return [action.value for action in outcome.actions]


def test_a_whole_fleet_costs_one_request_per_poll() -> None:
    maas = FakeMaas(*[Box(f"id{n:04}", f"n{n:04}") for n in range(511)])
    rig = Rig(maas)
    outcomes = rig.run()
    assert len(outcomes) == 511
    assert all(not outcome.failed and outcome.machine.status == Status.DEPLOYED for outcome in outcomes.values())
    assert maas.counts["machines/"] == len(rig.lines) - 1 == 2
    assert len(maas.writes) == len(set(maas.writes)) == 511


def test_more_machines_than_fit_into_a_request_take_more_requests() -> None:
    maas = FakeMaas(*[Box(f"id{n:04}", f"n{n:04}") for n in range(601)])
    Rig(maas).run()
    assert maas.counts["machines/"] == 4


def test_the_deployment_carries_its_form() -> None:
    maas = FakeMaas(Box("a", "n1"))
    Rig(maas).run(user_data={"n1": "#cloud-config\nkey: ü\n", "n2": "other"})
    form = next(form for form, (method, _) in zip(maas.forms[1:], maas.requests, strict=True) if method == "POST")
    assert form["distro_series"] == ["ubuntu/noble"]
    assert form["hwe_kernel"] == ["ga-24.04"]
    assert base64.b64decode(form["user_data"][0]).decode() == "#cloud-config\nkey: ü\n"


def test_a_new_machine_is_commissioned_then_deployed() -> None:
    maas = FakeMaas(Box("a", "n1", Status.NEW))
    outcome = Rig(maas).run()["n1"]
    assert actions(outcome) == ["commission", "deploy"]
    assert outcome.before.status == Status.NEW
    assert outcome.machine.primary_address == "10.20.0.1"


def test_a_machine_that_turns_out_to_be_another_is_not_deployed() -> None:
    maas = FakeMaas(Box("a", "n1", Status.NEW, commissioned_serial="S2"))
    rig = Rig(maas)
    machine = list_machines(rig.client)[0]
    fleet = Fleet(
        rig.client,
        Goal(State.DEPLOYED, "admin"),
        Deployment(),
        pace=rig.pace,
        progress=rig.lines.append,
        sleep=rig.clock.sleep,
        monotonic=rig.clock,
    )
    outcome = fleet.run([(Wanted("n1", serial="S1"), machine)])["n1"]
    assert outcome.failed and "S2" in outcome.reason
    assert maas.writes == ["machines/a/?op=commission"]


def test_what_is_under_way_is_waited_for_and_what_is_deployed_left_alone() -> None:
    maas = FakeMaas(
        Box("a", "n1", Status.DEPLOYING, owner="admin", osystem="ubuntu", distro_series="noble"),
        Box("b", "n2", Status.DEPLOYED, owner="admin", osystem="ubuntu", distro_series="noble"),
    )
    maas.boxes["a"].coming = [Status.DEPLOYING, Status.DEPLOYING, Status.DEPLOYED]
    outcomes = Rig(maas).run()
    assert not any(outcome.failed or outcome.actions for outcome in outcomes.values())
    assert outcomes["n1"].machine.status == Status.DEPLOYED
    assert maas.writes == []


def test_a_failed_deployment_is_tried_once_more() -> None:
    box = Box("a", "n1", plan={"deploy": FAILS})
    maas = FakeMaas(box)

    def heal(method: str, what: str) -> None:
        if what.endswith("release"):
            box.plan.clear()

    maas.before = heal
    outcome = Rig(maas).run()["n1"]
    assert not outcome.failed
    assert actions(outcome) == ["deploy", "release", "deploy"]


def test_a_deployment_that_fails_twice_is_a_failure_with_its_event_and_does_not_stop_others() -> None:
    maas = FakeMaas(Box("a", "n1", plan={"deploy": FAILS}), Box("b", "n2"))
    outcomes = Rig(maas).run()
    assert not outcomes["n2"].failed
    bad = outcomes["n1"]
    assert bad.failed and "Installation failed." in bad.reason and bad.remedy
    assert actions(bad) == ["deploy", "release", "deploy"]
    assert bad.event == "Mon ERROR Cause: d"


def test_waiting_ends_and_says_what_for() -> None:
    maas = FakeMaas(Box("a", "n1", plan={"deploy": [Status.DEPLOYING]}))
    rig = Rig(maas, timeout=95.0)
    outcome = rig.run()["n1"]
    assert outcome.failed
    assert "Still Deploying (power on) after 95 s of waiting for it to be deployed" in outcome.reason
    assert "Cause" in outcome.event
    assert rig.clock.now - 1000.0 == pytest.approx(95.0)
    assert str(rig.lines[-1]) == "0 of 1 settled (0 failed), waiting for 1 Deploying; 95 s of 95 s"


def test_events_that_cannot_be_had_leave_what_the_machine_says() -> None:
    maas = FakeMaas(Box("a", "n1", Status.BROKEN))
    maas.before = lambda method, what: text(500, "no events") if what.startswith("events/") else None
    assert Rig(maas).run()["n1"].event == "Broken message"


@pytest.mark.parametrize("failure", [broken(sent=True), text(500, "boom"), text(503, "busy")])
def test_a_deployment_whose_answer_is_lost_is_not_asked_for_twice(failure: Any) -> None:
    """MAAS did it and failed to say so."""
    maas = FakeMaas(Box("a", "n1"))
    maas.after = lambda method, what: failure if what.endswith("deploy") else None
    outcome = Rig(maas).run()["n1"]
    assert not outcome.failed
    assert actions(outcome) == ["deploy"]
    assert maas.writes == ["machines/a/?op=deploy"]


@pytest.mark.parametrize(
    ("failure", "doubtful"),
    [
        (broken(sent=True), True),
        (text(500, "boom"), False),
        (text(503, "busy"), False),
        (broken(sent=False), False),
    ],
)
def test_a_deployment_that_did_not_arrive_is_asked_for_again(failure: Any, doubtful: bool) -> None:
    maas = FakeMaas(Box("a", "n1"))
    left = [failure] * (1 if doubtful else 2)
    maas.before = lambda method, what: left.pop() if what.endswith("deploy") and left else None
    rig = Rig(maas)
    outcome = rig.run()["n1"]
    assert not outcome.failed
    assert actions(outcome) == ["deploy"]
    # Where MAAS may still be at it, it is given time; where it gave up, the next poll decides.
    assert (rig.clock.now - 1000.0 >= 60.0) is doubtful


@pytest.mark.parametrize("failure", [broken(sent=True), text(500, "boom"), text(503, "no rack")])
def test_a_deployment_that_never_succeeds_ends_with_maass_words(failure: Any) -> None:
    maas = FakeMaas(Box("a", "n1"))
    maas.before = lambda method, what: failure if what.endswith("deploy") else None
    outcome = Rig(maas).run()["n1"]
    assert outcome.failed and "could not deploy it in 5 tries" in outcome.reason and outcome.remedy
    assert maas.writes == ["machines/a/?op=deploy"] * 5
    assert actions(outcome) == []


def test_a_machine_left_allocated_by_a_failed_deployment_is_deployed_after_all() -> None:
    """Without its workflow engine MAAS answers 500 and leaves the machine allocated."""
    box = Box("a", "n1")
    maas = FakeMaas(box)
    left = [text(500, "Failed client connect")]

    def fail_halfway(method: str, what: str) -> Any:
        if what.endswith("deploy") and left:
            box.status, box.owner = Status.ALLOCATED, "admin"
            return left.pop()
        return None

    maas.before = fail_halfway
    outcome = Rig(maas).run()["n1"]
    assert not outcome.failed
    assert maas.writes == ["machines/a/?op=deploy"] * 2


def test_an_accepted_deployment_that_maas_shows_late_is_not_asked_for_twice() -> None:
    maas = FakeMaas(
        Box("a", "n1", plan={"deploy": [Status.READY, Status.ALLOCATED, Status.DEPLOYING, Status.DEPLOYED]})
    )
    outcome = Rig(maas).run()["n1"]
    assert not outcome.failed
    assert maas.writes == ["machines/a/?op=deploy"]


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (text(400, '{"distro_series": ["\'x\' is not a valid distro_series."]}'), "distro_series: 'x' is not a valid"),
        (text(403, ""), "administrator"),
        (text(404, "No Machine matches the given query."), "No Machine matches"),
    ],
)
def test_a_refusal_by_maas_is_final_for_the_machine(answer: Any, part: str) -> None:
    maas = FakeMaas(Box("a", "n1"), Box("b", "n2"))
    maas.before = lambda method, what: answer if what == "machines/a/?op=deploy" else None
    outcomes = Rig(maas).run()
    bad = outcomes["n1"]
    assert bad.failed and bad.remedy and part in f"{bad.reason} {bad.remedy}"
    assert not outcomes["n2"].failed
    assert maas.counts["machines/a/?op=deploy"] == 1


def test_a_machine_taken_by_somebody_else_meanwhile_is_left_to_them() -> None:
    box = Box("a", "n1")
    maas = FakeMaas(box)

    def snatch(method: str, what: str) -> None:
        if what.endswith("deploy"):
            box.status, box.owner, box.coming = Status.DEPLOYING, "alice", []

    maas.before = snatch
    outcome = Rig(maas).run()["n1"]
    assert outcome.failed and "alice" in outcome.reason
    assert actions(outcome) == []


def test_a_machine_deleted_meanwhile_fails_alone() -> None:
    maas = FakeMaas(Box("a", "n1"), Box("b", "n2"))

    def delete(method: str, what: str) -> None:
        if what.endswith("b/?op=deploy"):
            maas.boxes.pop("a", None)

    maas.after = delete
    maas.boxes["a"].plan = {"deploy": [Status.DEPLOYING]}
    rig = Rig(maas, concurrency=1)
    outcomes = rig.run()
    assert outcomes["n1"].failed and "deleted" in outcomes["n1"].reason
    assert not outcomes["n2"].failed


def test_a_wrong_key_stops_everything() -> None:
    maas = FakeMaas(Box("a", "n1"))
    rig = Rig(maas)
    maas.before = lambda method, what: (
        text(401, "Authorization Error: 'Invalid API key.'") if method == "POST" else None
    )
    with pytest.raises(errors.Unauthorized):
        rig.run()


def test_maas_away_for_a_while_is_waited_for() -> None:
    maas = FakeMaas(Box("a", "n1"))
    rig = Rig(maas, patience=120.0)
    away = [broken(sent=False)] * 10
    maas.before = lambda method, what: away.pop() if what == "machines/" and maas.writes and away else None
    assert not rig.run()["n1"].failed
    assert not away


def test_maas_gone_for_good_stops_the_run_in_bounded_time() -> None:
    maas = FakeMaas(Box("a", "n1"))
    rig = Rig(maas, patience=120.0)
    maas.before = lambda method, what: broken(sent=False) if what == "machines/" and maas.writes else None
    with pytest.raises(errors.Unreachable):
        rig.run()
    assert rig.clock.now - 1000.0 < 200.0
    # Run again: the deployment is under way, and is waited for.
    maas.before = lambda method, what: None
    assert rig.run()["n1"].machine.status == Status.DEPLOYED
    assert maas.writes == []


def test_nothing_more_is_sent_when_whoever_asked_is_gone() -> None:
    """A killed controller leaves its module behind, which must not race with the next run."""
    maas = FakeMaas(Box("a", "n1", Status.NEW))
    rig = Rig(maas)
    with pytest.raises(errors.Abandoned):
        rig.run(still_wanted=lambda: rig.clock.now < 1015.0)
    assert maas.writes == ["machines/a/?op=commission"]
    maas.boxes["a"].status = Status.READY
    with pytest.raises(errors.Abandoned):
        rig.run(still_wanted=lambda: False)
    assert maas.writes == []


def test_release_and_its_guards() -> None:
    deployed = {"status": Status.DEPLOYED, "owner": "admin", "osystem": "ubuntu", "distro_series": "noble"}
    maas = FakeMaas(
        Box("a", "n1", **deployed),
        Box("b", "n2", **deployed, tags=["in_service"]),
        Box("c", "n3", **deployed, locked=True),
        Box("d", "n4", **(deployed | {"owner": "alice"})),
        Box("e", "n5", Status.READY),
    )
    outcomes = Rig(maas).run(State.RELEASED)
    assert maas.writes == ["machines/a/?op=release"]
    assert {name for name, outcome in outcomes.items() if outcome.failed} == {"n2", "n3", "n4"}
    assert outcomes["n1"].machine.status == Status.READY


def test_only_the_asked_for_are_read_where_ids_are_known() -> None:
    maas = FakeMaas(Box("a", "n1"), Box("b", "n2", serial="S2"))
    rig = Rig(maas)
    assert set(find(rig.client, [Wanted("n1", "a")]).found) == {"n1"}
    assert not find(rig.client, [Wanted("n1", "a")]).unknown
    assert find(rig.client, [Wanted("x", serial="S2")]).found["x"].system_id == "b"
    # A stale id falls back to the whole list, where the name is found.
    assert find(rig.client, [Wanted("n1", "stale")]).found["n1"].system_id == "a"
