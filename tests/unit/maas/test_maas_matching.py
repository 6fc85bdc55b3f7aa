# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine is which host: by system_id, then serial, then name; a doubt is a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted, match, own_addresses


def m(system_id: str, hostname: str = "", serial: str = "", **more: Any) -> Machine:
    fqdn = f"{hostname}.maas" if hostname else ""
    return Machine(system_id, hostname, 4, "Ready", fqdn=fqdn, serial=serial, **more)


@pytest.mark.parametrize(
    ("host", "machines", "expected"),
    [
        (Wanted("n1", "b"), [m("a", "n1"), m("b", "other")], "b"),
        (Wanted("n1", "gone", "S1"), [m("a", "n2"), m("b", "other", "S1")], "b"),
        (Wanted("n1", "gone"), [m("a", "n1")], "a"),
        (Wanted("n1", "b", "S1"), [m("a", "n1", "S2"), m("b", "n2", "S1")], "b"),
        (Wanted("n1", mac_addresses=("M1",)), [m("a", "n2"), m("b", "golden-cow", mac_addresses=("m1",))], "b"),
        (Wanted("n1", serial="S1"), [m("a", "n1")], "a"),
        (Wanted("n1"), [m("a", "n1", "S9")], "a"),
        (Wanted("N1"), [m("a", "n1")], "a"),
        (Wanted("n1.maas"), [m("a", "n1")], "a"),
    ],
)
def test_the_best_key_wins(host: Wanted, machines: list[Machine], expected: str) -> None:
    matching = match([host], machines)
    assert matching.found[host.name].system_id == expected
    assert not matching.problems
    assert {machine.system_id for machine in matching.unknown} == {x.system_id for x in machines} - {expected}


@pytest.mark.parametrize(
    ("host", "machines", "parts"),
    [
        (Wanted("n1", serial="S1"), [], ["n1", "S1", "Enlist"]),
        (Wanted("n1", serial="S1"), [m("a", "x", "S1"), m("b", "y", "S1")], ["S1", "a (x)", "b (y)", "system_id"]),
        (Wanted("n1"), [m("a", "n1"), m("b", "n1")], ["n1", "a, b", "system_id"]),
        (Wanted("n1", serial="S1"), [m("a", "n1", "S2")], ["S1", "S2", "n1"]),
        (Wanted("n1", "a", "S1"), [m("a", "n1", "S2")], ["S1", "S2"]),
        (Wanted("n1", "zzz"), [m("a", "n2")], ["zzz"]),
    ],
)
def test_doubt_is_a_problem_with_a_remedy(host: Wanted, machines: list[Machine], parts: list[str]) -> None:
    matching = match([host], machines)
    assert not matching.found
    problem = matching.problems["n1"]
    assert problem.remedy
    for part in parts:
        assert part in str(problem)
    assert list(matching.unknown) == machines


def test_two_hosts_cannot_be_one_machine() -> None:
    matching = match([Wanted("n1", serial="S1"), Wanted("n2", "a"), Wanted("n3")], [m("a", "x", "S1"), m("c", "n3")])
    assert set(matching.found) == {"n3"}
    assert set(matching.problems) == {"n1", "n2"}
    assert "n1, n2" in matching.problems["n1"].reason


def test_an_empty_serial_matches_nothing() -> None:
    assert not match([Wanted("n1", serial="")], [m("a", "x", ""), m("b", "y", "")]).found


@pytest.mark.parametrize(
    ("host", "stray"),
    [
        (Wanted("n1", serial="NEW"), m("b", "proud-cat", "NEW")),
        (Wanted("n1", "gone", "NEW"), m("b", "proud-cat", "NEW")),
        (Wanted("n1", mac_addresses=("M1",)), m("b", "proud-cat", mac_addresses=("m1",))),
        (Wanted("n1", serial="OLD", bmc_address="10.0.1.1"), m("b", "cat", bmc_address="https://10.0.1.1/")),
    ],
)
def test_a_machine_that_maas_has_twice_is_refused(host: Wanted, stray: Machine) -> None:
    old = m("a", "n1", "OLD", bmc_address="10.0.1.1")
    matching = match([host, Wanted("n2")], [old, stray, m("c", "n2")])
    assert set(matching.found) == {"n2"}
    told = str(matching.problems["n1"])
    for part in ("MAAS has two records of n1: ", "n1 (a, serial OLD, Ready)", f"{stray.hostname} (b, serial", "Delete"):
        assert part in told


def test_names_that_went_crosswise_are_no_doubt_where_both_hosts_are_there() -> None:
    matching = match([Wanted("n1", serial="S1"), Wanted("n2", serial="S2")], [m("a", "n1", "S2"), m("b", "n2", "S1")])
    assert {name: machine.system_id for name, machine in matching.found.items()} == {"n1": "b", "n2": "a"}


def test_two_machines_behind_one_bmc_are_two() -> None:
    machines = [m(f"id{n}", f"n{n}", bmc_address="10.0.1.1", bmc_node=str(n)) for n in (1, 2)]
    assert not match([Wanted("n1", serial="S1", bmc_address="10.0.1.1")], machines).problems


def test_a_nic_between_bmc_and_host_is_not_known_to_maas() -> None:
    told = {
        "n1": ["B0:7B:25:00:00:01", "b2:3a:f2:b6:05:9f", "00:00:5e:00:53:aa"],
        "n2": ["b0:7b:25:00:00:02", "00:00:5E:00:53:AA"],
        "vm": ["52:54:00:aa:00:01", "52:54:00:aa:00:02"],
    }
    assert own_addresses(told) == {
        "n1": ("b0:7b:25:00:00:01",),
        "n2": ("b0:7b:25:00:00:02",),
        "vm": ("52:54:00:aa:00:01", "52:54:00:aa:00:02"),
    }
    assert own_addresses({"n1": ["00:00:5e:00:53:aa"], "n2": ["00:00:5e:00:53:aa"]})["n1"], "MAAS tells whose it is"
