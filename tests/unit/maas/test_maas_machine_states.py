# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""maas_machine beyond deployment: enrolment, service, locks, power; and never what disturbs others."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Response
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine, Status
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.planning import Goal, foresee, next_step
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.transitions import Action, State
from ansible_collections.firstlight.cluster.plugins.modules import maas_machine
from fake_maas import Box, FakeMaas, broken, good, text

Run = Callable[..., dict[str, Any]]
DEPLOYED: dict[str, Any] = {"status": Status.DEPLOYED, "owner": "admin", "osystem": "ubuntu", "distro_series": "noble"}


def known(name: str, **more: Any) -> dict[str, Any]:
    number = int(name[-2:])
    return {
        "name": name,
        "power_type": "redfish",
        "power_parameters": {"power_address": f"10.0.1.{number}", "power_user": "maas", "power_pass": "bmc-Passw0rd"},
        "mac_addresses": [f"52:54:00:AA:00:{number:02}"],
        **more,
    }


def test_machines_are_enrolled_once_with_everything_about_them(run: Run) -> None:
    maas = FakeMaas()
    machines = [known(f"node{n:02}", pool="gpu", zone="row-a", description="rack 7") for n in range(1, 6)]
    foretold = run(maas_machine, maas, check=True, diff=True, state="enrolled", machines=machines)
    assert maas.writes == []
    assert foretold["machines"]["node01"]["actions"] == ["enrol"] and foretold["failed_machines"] == []
    real = run(maas_machine, maas, diff=True, state="enrolled", machines=machines)
    assert real["machines"]["node01"]["actions"] == ["enrol"] and real["counts"]["changed"] == 5
    assert "bmc-Passw0rd" not in json.dumps([foretold, real])
    assert "****" not in json.dumps(real["machines"]), "an address or user that is hidden garbles results"
    box = next(box for box in maas.boxes.values() if box.hostname == "node03")
    assert (box.pool, box.zone, box.description, box.status) == ("gpu", "row-a", "rack 7", Status.NEW)
    assert box.power_parameters["power_pass"] == "bmc-Passw0rd"
    maas.requests.clear()
    assert run(maas_machine, maas, state="enrolled", machines=machines)["changed"] is False
    assert maas.writes == []
    assert maas.counts["machines/?op=power_parameters"] == 1, "one request for all"


def test_changed_credentials_are_written_and_not_shown(run: Run) -> None:
    maas = FakeMaas()
    run(maas_machine, maas, state="enrolled", machines=[known("node01")])
    machine = known("node01")
    machine["power_parameters"]["power_pass"] = "an0ther-Passw0rd"
    result = run(maas_machine, maas, state="enrolled", machines=[machine], diff=True)
    assert result["machines"]["node01"]["actions"] == ["update"]
    assert "Passw0rd" not in json.dumps(result)
    assert next(iter(maas.boxes.values())).power_parameters["power_pass"] == "an0ther-Passw0rd"


def test_a_machine_that_enlisted_itself_is_found_by_its_mac_and_named(run: Run) -> None:
    maas = FakeMaas(Box("auto", "golden-cow", Status.NEW, macs=["52:54:00:aa:00:01"]))
    result = run(maas_machine, maas, state="enrolled", machines=[known("node01")], diff=True)
    assert result["machines"]["node01"]["system_id"] == "auto"
    assert len(maas.boxes) == 1 and maas.boxes["auto"].power_type == "redfish"
    assert maas.boxes["auto"].hostname == result["diff"]["after"]["node01"]["hostname"] == "node01"
    maas.requests.clear()
    assert run(maas_machine, maas, state="enrolled", machines=[known("node01")])["changed"] is False
    assert maas.writes == []


@pytest.mark.parametrize(
    ("box", "machine"),
    [
        (Box("a", "golden-cow", Status.READY, macs=["52:54:00:aa:00:01"]), known("node01")),
        (Box("a", "golden-cow", Status.NEW, serial="S1"), known("node01", serial="S1")),
        (Box("a", "golden-cow", Status.NEW), known("node01", system_id="a")),
    ],
)
def test_a_machine_that_somebody_knows_keeps_its_name(run: Run, box: Box, machine: dict[str, Any]) -> None:
    run(maas_machine, FakeMaas(box), state="enrolled", machines=[machine])
    assert (box.hostname, box.power_type) == ("golden-cow", "redfish")


def test_a_refused_machine_fails_alone(run: Run) -> None:
    maas = FakeMaas()
    why = text(400, '{"power_parameters": ["Redfish user: bmc-Passw0rd is required."]}')
    maas.before = lambda method, what: why if (method, what) == ("POST", "machines/") and not maas.boxes else None
    result = run(maas_machine, maas, state="enrolled", concurrency=1, machines=[known("node01")])
    assert result["failed_machines"] == ["node01"]
    assert "Redfish user: *** is required" in result["machines"]["node01"]["reason"]
    assert result["machines"]["node01"]["changed"] is False and maas.writes == ["machines/"]


@pytest.mark.parametrize("seed", range(15))
def test_a_bring_up_through_a_storm_deploys_each_machine_once(run: Run, seed: int) -> None:
    maas = FakeMaas()
    chance = random.Random(seed)
    done: Counter[str] = Counter()

    def storm(method: str, what: str) -> Response | Exception | None:
        kinds = [
            text(500, "boom"),
            text(502, "bad"),
            text(503, "busy"),
            broken(sent=True),
            Response(200, {}, b'[{"cut'),
        ]
        return chance.choice(kinds) if chance.random() < 0.1 else None

    original = maas._act

    def act(box: Box, action: str, form: dict[str, list[str]]) -> Response:
        answer = original(box, action, form)
        done[f"{box.hostname}:{action}"] += answer.status == 200
        return answer

    maas.before = maas.after = storm
    maas._act = act  # type: ignore[method-assign]
    result = run(maas_machine, maas, concurrency=1, machines=[known(f"node{n:02}", pool="gpu") for n in range(1, 9)])
    assert not result.get("failed"), result
    assert sorted(box.hostname for box in maas.boxes.values()) == [f"node{n:02}" for n in range(1, 9)]
    assert all(times == 1 for times in done.values()), done
    assert {machine["status_name"] for machine in result["machines"].values()} == {"Deployed"}
    assert result["failed_machines"] == []


@pytest.mark.parametrize(
    ("state", "before", "options", "writes", "after"),
    [
        ("allocated", {"status": Status.READY}, {}, ["machines/?op=allocate"], "Allocated"),
        ("released", DEPLOYED, {"erase": "quick", "comment": "why"}, ["machines/a/?op=release"], "Ready"),
        ("broken", {"status": Status.READY}, {}, ["machines/?op=allocate", "machines/a/?op=mark_broken"], "Broken"),
        ("fixed", {"status": Status.BROKEN}, {}, ["machines/a/?op=mark_fixed"], "Ready"),
        ("rescue", DEPLOYED, {}, ["machines/a/?op=rescue_mode"], "Rescue mode"),
        ("rescue_exited", {"status": Status.RESCUE_MODE}, {}, ["machines/a/?op=exit_rescue_mode"], "Ready"),
        ("locked", DEPLOYED, {}, ["machines/a/?op=lock"], "Deployed"),
        ("unlocked", DEPLOYED | {"locked": True}, {}, ["machines/a/?op=unlock"], "Deployed"),
        ("powered_off", DEPLOYED, {}, ["machines/a/?op=power_off"], "Deployed"),
        ("powered_on", DEPLOYED | {"power_state": "off"}, {}, ["machines/a/?op=power_on"], "Deployed"),
    ],
)
def test_each_state_is_reached_once_and_foretold(
    run: Run, state: str, before: dict[str, Any], options: dict[str, Any], writes: list[str], after: str
) -> None:
    maas = FakeMaas(Box("a", "n1", **before))
    machines = [{"name": "n1"}]
    foretold = run(maas_machine, maas, check=True, state=state, machines=machines, **options)
    assert maas.writes == []
    result = run(maas_machine, maas, state=state, machines=machines, diff=True, **options)
    assert result["failed_machines"] == [], result
    assert maas.writes == writes and result["machines"]["n1"]["status_name"] == after
    assert result["machines"]["n1"]["actions"] == foretold["machines"]["n1"]["actions"]
    assert result["diff"]["before"] != result["diff"]["after"]
    if "erase" in options:
        assert {"comment": ["why"], "erase": ["true"], "quick_erase": ["true"]} in maas.forms
    maas.requests.clear()
    assert run(maas_machine, maas, state=state, machines=machines)["changed"] is False
    assert maas.writes == []


DISTURBING = {Action.COMMISSION, Action.DEPLOY, Action.RELEASE, Action.MARK_BROKEN, Action.RESCUE, Action.POWER_OFF}


def machine(status: Status, **more: Any) -> Machine:
    return Machine("a", "n1", int(status), status.name, power_state="on", **more)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("status", list(Status))
def test_no_state_disturbs_what_is_in_service_locked_or_anothers(state: State, status: Status) -> None:
    goal = Goal(state, "me", in_service_tag="in_service")
    host = Wanted("n1")
    serving = machine(Status.DEPLOYED, owner="me", tags=("in_service",))
    assert next_step(serving, host, goal).action not in DISTURBING
    locked = next_step(machine(status, owner="me", locked=True), host, goal).action
    assert not locked.writes or locked is Action.UNLOCK
    if status not in (Status.NEW, Status.COMMISSIONING, Status.FAILED_COMMISSIONING, Status.TESTING):
        assert not next_step(machine(status, owner="alice"), host, goal).action.writes


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("power", ["on", "off", "unknown"])
def test_every_path_ends(state: State, status: Status, power: str) -> None:
    start = Machine("a", "n1", int(status), status.name, power_state=power, owner="me")
    steps = foresee(start, Wanted("n1"), Goal(state, "me")).steps
    assert len(steps) <= 5 and steps[-1].action in (Action.DONE, Action.REFUSE, Action.WAIT, Action.EXIT_RESCUE)
    assert all(step.reason and step.remedy for step in steps if step.action is Action.REFUSE)


def test_an_allocated_machine_is_not_powered_on_since_that_would_deploy_it(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", Status.ALLOCATED, owner="admin", power_state="off"))
    result = run(maas_machine, maas, state="powered_on", machines=[{"name": "n1"}])
    assert "would deploy an allocated one" in result["machines"]["n1"]["reason"] and maas.writes == []


def test_a_request_without_effect_is_not_repeated_for_ever(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", **DEPLOYED, power_type="manual"))
    result = run(maas_machine, maas, state="powered_off", machines=[{"name": "n1"}])
    assert "power_off had no effect" in result["machines"]["n1"]["reason"]
    assert maas.writes == ["machines/a/?op=power_off"]


def test_pool_and_zone_of_a_locked_machine_are_left_alone(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", **DEPLOYED, locked=True))
    result = run(maas_machine, maas, state="enrolled", machines=[{"name": "n1", "pool": "gpu"}])
    assert "Its pool cannot be set: it is locked" in result["machines"]["n1"]["reason"] and maas.writes == []


# -- commissioned anew


def again(run: Run, maas: FakeMaas, *machines: dict[str, Any], **options: Any) -> dict[str, Any]:
    return run(maas_machine, maas, state="recommissioned", machines=list(machines), **options)


def test_ready_machines_are_commissioned_anew_each_time_it_is_asked_for(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", serial="S1"))
    foretold = again(run, maas, {"name": "n1", "serial": "S1"}, check=True)
    assert maas.writes == [] and foretold["machines"]["n1"]["actions"] == ["commission"]
    for _time in range(2):
        maas.requests.clear()
        maas.forms.clear()
        result = again(run, maas, {"name": "n1", "serial": "S1"}, testing_scripts=["memtester", "smartctl"])
        assert result["failed_machines"] == []
        assert maas.writes == ["machines/a/?op=commission"]
        assert {"testing_scripts": ["memtester,smartctl"]} in maas.forms


def test_a_commissioning_that_is_over_before_the_next_poll_is_not_waited_for(run: Run) -> None:
    box = Box("a", "n1", plan={"commission": [Status.COMMISSIONING]})
    maas = FakeMaas(box)

    def over(method: str, what: str) -> None:
        if what == "machines/" and box.status is Status.COMMISSIONING:
            box.become(Status.READY)

    maas.before = over
    assert again(run, maas, {"name": "n1"})["failed_machines"] == []
    assert maas.counts["machines/"] == 2 and maas.writes == ["machines/a/?op=commission"]


def test_a_machine_whose_tests_failed_is_tested_again(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", Status.FAILED_TESTING))
    assert again(run, maas, {"name": "n1"})["failed_machines"] == []
    assert maas.writes == ["machines/a/?op=override_failed_testing", "machines/a/?op=commission"]


def test_what_somebody_uses_is_not_commissioned(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", **DEPLOYED))
    told = again(run, maas, {"name": "n1"})["machines"]["n1"]
    assert told["reason"] == "It is Deployed, and MAAS commissions only machines that nobody uses."
    assert maas.writes == []


@pytest.mark.parametrize(
    ("end", "runs", "words"),
    [
        (Status.FAILED_COMMISSIONING, [(2, "Commissioning", {"lshw": 5, "bmc": 3})], "message. Scripts: bmc (Failed)."),
        (
            Status.FAILED_TESTING,
            [(2, "Commissioning", {"lshw": 2}), (3, "Testing", {"memtester": 3, "smartctl": 2})],
            "hardware tests failed. Scripts: memtester (Failed).",
        ),
        # MAAS gives a machine that was Ready that status again when its commissioning is aborted.
        (Status.READY, [(2, "Commissioning", {"lshw": 2, "bmc": 5})], "its commissioning did not pass: bmc (Aborted)"),
        (Status.READY, [(1, "Testing", {"memtester": 2})], "MAAS has no results of it"),
    ],
)
def test_the_scripts_that_did_not_pass_are_named(
    run: Run, end: Status, runs: list[tuple[int, str, dict[str, int]]], words: str
) -> None:
    maas = FakeMaas(Box("a", "n1", plan={"commission": [Status.COMMISSIONING, end]}, runs=runs))
    told = again(run, maas, {"name": "n1"})["machines"]["n1"]
    assert told["failed"] and words in told["reason"], told
    assert maas.writes == ["machines/a/?op=commission"]


def test_a_test_of_long_ago_is_not_held_against_a_machine(run: Run) -> None:
    runs = [(1, "Testing", {"memtester": 3}), (2, "Commissioning", {"lshw": 2})]
    maas = FakeMaas(Box("a", "n1", runs=runs))
    assert again(run, maas, {"name": "n1"}, testing_scripts=["none"])["failed_machines"] == []


def test_results_that_cannot_be_read_prove_nothing(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"))
    maas.before = lambda method, what: text(404, "No Node matches.") if "/results/" in what and maas.writes else None
    told = again(run, maas, {"name": "n1"})["machines"]["n1"]
    assert "the results cannot be read" in told["reason"]


def test_the_results_of_a_former_commissioning_prove_nothing(run: Run) -> None:
    """MAAS said that it commissions, and did not."""
    box = Box("a", "n1")
    begun = Box("a", "n1", Status.COMMISSIONING).json()
    maas = FakeMaas(box)
    maas.before = lambda method, what: good(begun) if what.endswith("op=commission") else None
    told = again(run, maas, {"name": "n1"})["machines"]["n1"]
    assert told["failed"] and "MAAS has no results of it" in told["reason"], told


def test_a_maas_that_is_gone_at_the_end_is_asked_for_no_more_results(run: Run) -> None:
    boxes = [Box(f"m{n:02}", f"n{n:02}") for n in range(1, 31)]
    maas = FakeMaas(*boxes)

    def gone(method: str, what: str) -> Any:
        return broken(sent=False) if maas.counts["machines/"] >= 3 and "/results/" in what else None

    maas.before = gone
    result = again(run, maas, *({"name": box.hostname} for box in boxes), concurrency=2)
    assert result["failure"]["kind"] == "Unreachable"
    asked = [what for _method, what in maas.requests if "/results/" in what][30:]
    assert 1 <= len(set(asked)) <= 2, "each worker waits once"


def board(**more: Any) -> dict[str, Any]:
    """node01 with another main board: its BMC told the serial and the MAC address of the new one."""
    return known("node01", serial="NEW", serial_of_bmc=True, **more)


def old_board(status: Status = Status.READY, **more: Any) -> Box:
    macs = ["52:54:00:bb:00:01"]
    return Box("a", "node01", status, serial="OLD", macs=macs, commissioned_serial="NEW", **more)


def test_another_main_board_needs_no_hand_in_maas(run: Run) -> None:
    power = {"power_address": "10.0.1.1", "power_user": "maas", "power_pass": "before"}
    maas = FakeMaas(old_board(power_type="redfish", power_parameters=power))
    box = maas.boxes["a"]
    foretold = again(run, maas, board(), check=True)["machines"]["node01"]
    assert maas.writes == []
    told = again(run, maas, board())["machines"]["node01"]
    assert (told["failed"], told["serial"]) == (False, "NEW"), told
    assert told["actions"] == foretold["actions"] == ["update", "add_interface", "commission"]
    assert box.power_parameters["power_pass"] == "bmc-Passw0rd"
    assert "52:54:00:aa:00:01" in box.macs
    assert maas.writes == ["machines/a/", "nodes/a/interfaces/?op=create_physical", "machines/a/?op=commission"]


def test_another_main_board_is_no_reason_not_to_release(run: Run) -> None:
    power = {"power_address": "https://10.0.1.1"}
    deployed = old_board(Status.DEPLOYED, owner="admin", power_type="redfish", power_parameters=power)
    maas = FakeMaas(deployed)
    result = run(maas_machine, maas, state="released", machines=[board()])
    assert result["failed_machines"] == [], result
    assert maas.writes == ["machines/a/?op=release"], "nothing else is written on a machine that is given back"


@pytest.mark.parametrize("serial", ["NEW", "Unknown"])
@pytest.mark.parametrize("state", ["released", "recommissioned"])
def test_another_main_board_that_enlisted_itself_leaves_nothing_half_done(run: Run, state: str, serial: str) -> None:
    """Its serial, or its BMC alone, tells that MAAS has the machine twice."""
    power = {"power_address": "10.0.1.1"}
    stray = Box("b", "proud-cat", Status.NEW, serial=serial, power_type="ipmi", power_parameters=power)
    maas = FakeMaas(old_board(Status.DEPLOYED, owner="admin", power_type="redfish", power_parameters=power), stray)
    told = run(maas_machine, maas, state=state, machines=[board()])["machines"]["node01"]
    assert told["failed"] and "MAAS has two records of node01" in told["reason"], told
    assert "proud-cat (b, " in told["reason"] and "Delete" in told["remedy"]
    assert maas.writes == []


@pytest.mark.parametrize(
    ("state", "address", "machine"),
    [
        ("released", "10.0.1.2", board()),
        ("recommissioned", "10.0.1.2", board()),
        ("released", "10.0.1.1", {**board(), "serial_of_bmc": False}),
        ("deployed", "10.0.1.1", board()),
    ],
)
def test_a_serial_is_believed_of_the_machines_own_bmc_only(
    run: Run, state: str, address: str, machine: dict[str, Any]
) -> None:
    maas = FakeMaas(old_board(power_type="redfish", power_parameters={"power_address": address}))
    told = run(maas_machine, maas, state=state, machines=[machine])["machines"]["node01"]
    assert "has serial OLD, the roster says NEW" in told["reason"]
    assert maas.writes == []


def test_a_nic_that_maas_has_under_another_name_is_refused(run: Run) -> None:
    maas = FakeMaas(Box("a", "node01", serial="S1"), Box("b", "golden-cow", Status.NEW, macs=["52:54:00:aa:00:01"]))
    told = again(run, maas, known("node01", serial="S1"))["machines"]["node01"]
    assert "already in use by golden-cow" in told["reason"]
    assert "machines/a/?op=commission" not in maas.writes


@pytest.mark.parametrize("nic", ["b2:3a:f2:b6:05:9f", "00:00:5e:00:53:aa"])
def test_a_nic_between_bmc_and_host_keeps_no_machine_out(run: Run, nic: str) -> None:
    """Its address is made up, or the same on every machine: MAAS would give it to one and refuse it to the next."""
    boxes = [Box(f"m{n}", f"node0{n}", macs=[f"b0:7b:25:00:00:0{n}"]) for n in (1, 2)]
    maas = FakeMaas(*boxes, Box("x", "another", macs=["b2:3a:f2:b6:05:9f"]))
    machines = [known(box.hostname, mac_addresses=[nic, f"b0:7b:25:00:01:0{n}"]) for n, box in enumerate(boxes, 1)]
    assert again(run, maas, *machines)["failed_machines"] == []
    assert boxes[0].macs == ["b0:7b:25:00:00:01", "b0:7b:25:00:01:01"]


def test_thirty_machines_cost_one_request_each_and_one_per_poll(run: Run) -> None:
    """Release, commissioning and deployment, as reprovision.yml asks for them. One machine is bad."""
    boxes = [Box(f"m{n:02}", f"n{n:02}", serial=f"S{n:02}", **DEPLOYED) for n in range(1, 31)]
    boxes[16].plan = {"commission": [Status.COMMISSIONING, Status.FAILED_COMMISSIONING]}
    boxes[16].runs = [(2, "Commissioning", {"lshw": 3})]
    maas = FakeMaas(*boxes)
    machines = [{"name": box.hostname, "serial": box.serial} for box in boxes]
    operations = {"released": "release", "recommissioned": "commission", "deployed": "deploy"}
    for state, operation in operations.items():
        maas.requests.clear()
        result = run(maas_machine, maas, state=state, machines=machines)
        assert result["failed_machines"] == (["n17"] if state == "recommissioned" else []), result
        machines = [machine for machine in machines if machine["name"] not in result["failed_machines"]]
        ids = [f"m{number:02}" for number in range(1, 31) if state != "deployed" or number != 17]
        assert sorted(maas.writes) == [f"machines/{system_id}/?op={operation}" for system_id in ids]
        assert maas.counts["machines/"] == 3, "one to begin with, and one for each of the two polls"
