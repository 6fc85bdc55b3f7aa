# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose BIOS and firmware provision brings to the class, and what the event logs of BMCs cost a node."""

from __future__ import annotations

import pytest

from tests.unit.run.played_bmcs import Racks, set_by, told_to_maas, warnings
from tests.unit.run.test_phases import Played, played

__all__ = ["played"]
NODES = ("fit1", "fit2", "sick", "mute", "alone", "together", "uncabled")


@pytest.fixture(scope="module")
def racks(played: Played) -> Racks:
    """fit1 is deployed; of `together` nobody knows the log-in."""
    return Racks(played, ["fit1"], [name for name in NODES if name != "together"])


@pytest.fixture(autouse=True)
def cleared(racks: Racks) -> None:
    racks.clear()


def test_before_its_deployment_a_machine_is_brought_to_its_class_and_no_other_is_touched(racks: Racks) -> None:
    run = racks.run(
        "provision",
        "--limit",
        ",".join(NODES),
        bios_due=NODES,
        bad_bmc=["sick"],
        foreign=["mute"],
        status={"alone": 9},
        mute_bmc=["uncabled"],
    )
    assert run.status == 0, run.output
    assert set_by(run, "bmc_bios") == ["fit2", "sick", "uncabled"], (
        "deployed, another's, under way, no log-in: left alone"
    )
    (foretold,) = told_to_maas(run, check=True)
    assert foretold == ("deployed", ["alone", "fit2", "mute", "sick", "uncabled"])
    assert all(call["restart"] for call in run.told("bmc_bios"))
    assert (run.gates["bmc"]["passed"], run.gates["bmc"]["set_aside"]) == (["fit2", "uncabled"], ["sick"])
    ((state, deployed),) = told_to_maas(run)
    assert (state, deployed) == ("deployed", ["alone", "fit1", "fit2", "mute", "together", "uncabled"])
    assert [phase["name"] for phase in run.report["phases"]] == ["bmc", "provision"]
    # What a log says, or that it cannot be read, is seen and keeps nobody out.
    assert warnings(run, "fit2") == {"bmc.event_log": "fan 3 lost, fit2"}
    assert warnings(run, "uncabled") == {"bmc.answers": "its event log was not read: no answer within 30 s"}
    assert {"fit1", "fit2", "uncabled"} <= set(run.gates["provision"]["passed"])


def test_a_deployed_node_costs_nothing(racks: Racks) -> None:
    run = racks.run("provision", "--limit", "fit1", bios_due=["fit1"])
    assert run.status == 0, run.output
    assert not run.told("bmc_bios") and not run.told("bmc_event_log_info")
    assert len(run.told("maas_machine")) == 1
    assert "TASK [BMC" not in run.output
    assert [phase["name"] for phase in run.report["phases"]] == ["provision"]


def test_check_mode_compares_and_sets_nothing(racks: Racks) -> None:
    run = racks.run("provision", "--limit", "fit2,sick", "--check", bios_due=["fit2"], bad_bmc=["sick"])
    assert run.status == 0, run.output
    assert (set_by(run, "bmc_bios"), set_by(run, "bmc_bios", check=True)) == ([], ["fit2", "sick"])
    states = {name: node["state"] for name, node in run.report["nodes"].items()}
    assert states == {"fit2": "deferred", "sick": "set_aside"}


def test_a_bmc_that_says_nothing_is_told_by_the_check_that_has_its_owner(racks: Racks) -> None:
    run = racks.run("provision", "--limit", "fit2,sick,alone", bios_due=["fit2"], dead_bmc=["sick"], bad_bmc=["alone"])
    assert (run.gates["bmc"]["passed"], run.gates["bmc"]["set_aside"]) == (["fit2"], ["alone", "sick"]), run.output
    told = {
        node: [(item["check"], item["summary"], item["owner"]) for item in run.report["nodes"][node]["findings"]]
        for node in ("sick", "alone")
    }
    assert told == {
        "sick": [("boot.bmc_unreachable", "no answer within 30 s", "datacentre")],
        "alone": [("phase.task", "this BIOS has no such attribute", "software")],
    }


@pytest.mark.long
def test_firmware_that_is_due_on_too_many_costs_only_those(racks: Racks) -> None:
    limit = ("--limit", "fit2,alone,uncabled", "-e", "bmc_firmware_most=1")
    run = racks.run("provision", *limit, firmware_due=["fit2", "alone"])
    assert set_by(run, "bmc_firmware") == []
    assert (run.gates["bmc"]["passed"], run.gates["bmc"]["set_aside"]) == (["uncabled"], ["alone", "fit2"]), run.output
    # A restart, and one component on the one node that may be updated: no other run takes the nodes meanwhile.
    (hold,) = [call for call in run.told("ledger") if "lock_seconds" in call]
    assert (sorted(hold["lock"]), hold["lock_seconds"]) == (["alone", "fit2", "uncabled"], 14400 + 1800 + 3600)
    (told,) = [item["summary"] for item in run.report["nodes"]["fit2"]["findings"] if item["check"] == "phase.task"]
    assert "Firmware is due on 2 nodes, more than bmc_firmware_most (1)" in told


def test_health_tells_the_event_log_and_sets_nobody_aside_for_it(racks: Racks) -> None:
    run = racks.run("health", "--limit", "fit1,fit2,together", mute_bmc=["fit2"])
    assert run.status == 0, run.output
    assert sorted(call["address"] for call in run.told("bmc_event_log_info")) == ["bmc-fit1", "bmc-fit2"]
    assert {call["request_timeout"] for call in run.told("bmc_event_log_info")} == {15}
    assert sorted(run.gates["health"]["passed"]) == ["fit1", "fit2", "together"]
    assert warnings(run, "fit1") == {"bmc.event_log": "fan 3 lost, fit1"}
    assert warnings(run, "fit2") == {"bmc.answers": "its event log was not read: no answer within 30 s"}
    assert warnings(run, "together") == {}


@pytest.mark.long
def test_what_was_acknowledged_is_asked_for_no_more(racks: Racks) -> None:
    run = racks.run("bmc_acknowledge")
    assert run.status == 2 and "all nodes cannot be meant" in " ".join(run.output.split())
    assert racks.run("bmc_acknowledge", "--limit", "fit1", "--check").status == 0
    # One that is silent, and one whose log-in nobody knows, keep no other from it.
    run = racks.run("bmc_acknowledge", "--limit", "fit1,mute,together,later", mute_bmc=["mute"])
    said = " ".join(run.output.split())
    assert run.status == 2 and "no answer within 30 s" in said
    assert "together: bmc_address, bmc_user, bmc_password: missing, so its event log was not read" in said
    assert "later: bmc_address" not in said, "only planned"
    marks = (racks.played.folder / "inventory/bmc_event_log_marks").read_text(encoding="utf-8")
    assert marks.splitlines() == ["fit1 newest-of-fit1"]
    run = racks.run("health", "--limit", "fit1,fit2")
    assert {call["address"]: call["mark"] for call in run.told("bmc_event_log_info")} == {
        "bmc-fit1": "newest-of-fit1",
        "bmc-fit2": "",
    }
