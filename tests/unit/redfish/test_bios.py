# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIOS: comparison, refusals, and the way through a restart, with every vendor's habits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish import errors
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.bios import Registry, plan
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.configure import (
    read_bios,
    restart_and_read_back,
    send,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import discover

from lab.bmc import bios as simulated

from .bench import Bench

REGISTRY = Registry.read(simulated.registry(""))
CURRENT = simulated.defaults("")
SUFFIXED = Registry.read(simulated.registry("_0027"))


@pytest.mark.parametrize(
    ("wanted", "pending", "due", "waiting", "same"),
    [
        ({"LogicalProc": "Enabled"}, {}, {}, {}, ["LogicalProc"]),
        ({"LogicalProc": "Disabled"}, {}, {"LogicalProc": "Disabled"}, {}, []),
        ({"LogicalProc": "Disabled"}, {"LogicalProc": "Disabled"}, {}, {"LogicalProc": "Disabled"}, []),
        # Something else waits: it would win at the restart.
        ({"LogicalProc": "Enabled"}, {"LogicalProc": "Disabled"}, {"LogicalProc": "Enabled"}, {}, []),
        ({"NumaNodesPerSocket": 4}, {}, {"NumaNodesPerSocket": "4"}, {}, []),
        ({"AcPwrRcvryUserDelay": 120}, {}, {"AcPwrRcvryUserDelay": 120}, {}, []),
        (
            {"ProcCStates": "Disabled", "SysProfile": "Custom"},
            {},
            {"ProcCStates": "Disabled", "SysProfile": "Custom"},
            {},
            [],
        ),
        ({"ProcCStates": "Disabled"}, {"SysProfile": "Custom"}, {"ProcCStates": "Disabled"}, {}, []),
        # Read-only now, but as wanted: nothing to refuse.
        ({"ProcCStates": "Enabled"}, {}, {}, {}, ["ProcCStates"]),
    ],
)
def test_what_is_due(
    wanted: dict[str, Any], pending: dict[str, Any], due: dict[str, Any], waiting: dict[str, Any], same: list[str]
) -> None:
    found = plan(wanted, CURRENT, pending, REGISTRY)
    assert (found.set, found.waiting, list(found.same), found.refusals) == (due, waiting, same, ())
    assert found.before == {name: CURRENT[name] for name in {**waiting, **due}}


@pytest.mark.parametrize(
    ("name", "value", "reason", "remedy"),
    [
        ("ProcCState", "Disabled", "no such attribute", "Did you mean ProcCStates?"),
        ("Zzz", 1, "no such attribute", "attribute registry of this model"),
        ("LogicalProc", "enabled", "'enabled' is none of its values", "Choose one of Enabled, Disabled"),
        ("LogicalProc", False, "False is none of its values", "put it in quotes"),
        ("SystemServiceTag", "X1", "is read-only", "Take it out of the class"),
        (
            "ProcCStates",
            "Disabled",
            "read-only while SysProfile is 'PerfPerWattOptimizedOs'",
            "Set bios.attributes.SysProfile",
        ),
        ("AcPwrRcvryUserDelay", 50, "50 is out of bounds", "Choose from 60 to 600"),
        ("AcPwrRcvryUserDelay", 65, "between two steps", "steps of 10"),
        ("AcPwrRcvryUserDelay", "60", "'60' is not an integer", "without quotes"),
        ("AcPwrRcvryUserDelay", True, "not an integer", "without quotes"),
        ("AssetTag", "a text that is too long", "has 23 characters", "0 to 10"),
        ("AssetTag", 5, "5 is not a text", "in quotes"),
        ("SetupPassword", "hidden-word", "is a password", "set it at the BMC"),
    ],
)
def test_what_is_refused_is_named_with_its_key_and_remedy(name: str, value: Any, reason: str, remedy: str) -> None:
    (refusal,) = plan({name: value}, CURRENT, {}, REGISTRY).refusals
    assert refusal.key == f"bios.attributes.{name}"
    assert reason in refusal.reason and remedy in refusal.remedy
    assert "hidden-word" not in str(refusal)


def test_every_refusal_is_told_and_not_only_the_first() -> None:
    found = plan({"A": 1, "LogicalProc": "x", "SriovGlobalEnable": "Enabled"}, CURRENT, {}, REGISTRY)
    assert [refusal.key for refusal in found.refusals] == ["bios.attributes.A", "bios.attributes.LogicalProc"]


def test_a_name_is_found_without_the_boards_suffix() -> None:
    current = simulated.defaults("_0027")
    assert plan({"LogicalProc": "Disabled"}, current, {}, SUFFIXED).set == {"LogicalProc_0027": "Disabled"}
    both = {**current, "LogicalProc_0031": "Enabled"}
    (refusal,) = plan({"LogicalProc": "Disabled"}, both, {}, SUFFIXED).refusals
    assert "several attributes of this BIOS: LogicalProc_0027, LogicalProc_0031" in refusal.reason
    (refusal,) = plan({"LogicalProc": "Disabled", "LogicalProc_0027": "Enabled"}, current, {}, SUFFIXED).refusals
    assert "as bios.attributes.LogicalProc is" in refusal.reason


def test_names_and_values_may_be_those_of_the_menus() -> None:
    entry = {
        "AttributeName": "Q1",
        "DisplayName": "Quiet Boot",
        "Type": "Enumeration",
        "Value": [{"ValueName": "0", "ValueDisplayName": "Off"}, {"ValueName": "1", "ValueDisplayName": "Show"}],
    }
    registry = Registry({"Q1": entry})
    assert plan({"Quiet Boot": "Show"}, {"Q1": "0"}, {}, registry).set == {"Q1": "1"}


@pytest.mark.parametrize(
    ("terms", "closed"),
    [
        ([("GTR", 5)], True),
        ([("GEQ", 8), ("LSS", 3)], False),
        ([("LEQ", 7)], True),
        ([("EQU", 7), ("EQU", 9, "OR")], True),
        ([("EQU", 7), ("EQU", 9, "AND")], False),
        ([("GTR", "x")], False),
    ],
)
def test_conditions_of_a_registry_are_worked_out(terms: list[Any], closed: bool) -> None:
    conditions = [
        {
            "MapFromAttribute": "N",
            "MapFromProperty": "CurrentValue",
            "MapFromCondition": term[0],
            "MapFromValue": term[1],
            **({"MapTerms": term[2]} if len(term) > 2 else {}),
        }
        for term in terms
    ]
    rule = {"MapFrom": conditions, "MapToAttribute": "A", "MapToProperty": "ReadOnly", "MapToValue": True}
    registry = Registry({"A": {"Type": "Boolean"}}, [{"Type": "Map", "Dependency": rule}])
    assert bool(plan({"A": True}, {"A": False, "N": 7}, {}, registry).refusals) == closed


def test_without_a_registry_types_are_those_of_the_values() -> None:
    found = plan({"A": 1, "B": "x", "C": 2}, {"A": "x", "B": "y", "C": 1}, {}, Registry({}))
    assert (found.set, [refusal.key for refusal in found.refusals]) == (
        {"B": "x", "C": 2},
        ["bios.attributes.A"],
    )


# -- through the BMC ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["generic", "idrac", "supermicro"])
@pytest.mark.parametrize("on", [True, False])
def test_a_setting_is_sent_restarted_once_and_read_back(tmp_path: Path, profile: str, on: bool) -> None:
    bench = Bench(tmp_path, profile)
    if on:
        bench.bmc.start()
    boots = bench.bmc.owner.state.boots
    wanted = {"SysProfile": "Custom", "ProcCStates": "Disabled"}
    with bench.client() as client:
        service = discover(client)
        state = read_bios(client, service)
        todo = plan(wanted, state.current, state.pending, state.registry)
        assert not todo.refusals
        send(client, state, todo)
        again = read_bios(client, service)
        waiting = plan(wanted, again.current, again.pending, again.registry)
        assert (waiting.set, set(waiting.waiting)) == ({}, set(todo.set))
        restart_and_read_back(client, service, todo.due, 600)
        done = read_bios(client, service)
        assert plan(wanted, done.current, done.pending, done.registry).due == {}
    assert bench.bmc.owner.state.boots == boots + 1
    assert bench.bmc.owner.state.power == ("On" if on else "Off"), "as it was before"


def test_a_setting_that_does_not_come_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.bmc.start()
    with bench.client() as client, pytest.raises(errors.TimedOut, match="LogicalProc is 'Enabled'") as caught:
        restart_and_read_back(client, discover(client), {"LogicalProc": "Disabled"}, 60)
    assert "within 60 s" in str(caught.value) and "console" in str(caught.value)


def test_a_bmc_without_bios_says_what_to_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "hgx")
    with bench.client() as client, pytest.raises(errors.NotFound, match="licence or newer BMC firmware"):
        read_bios(client, discover(client))


def test_plain_settings_are_read_without_a_settings_object(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "plain")
    with bench.client() as client:
        state = read_bios(client, discover(client))
        assert state.settings == state.path and state.pending == {}
        todo = plan({"LogicalProc": "Disabled"}, state.current, state.pending, state.registry)
        assert send(client, state, todo) == ""
