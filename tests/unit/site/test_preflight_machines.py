# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roster of whose machines MAAS knows none and can be told of none: preflight says so before anything is done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.action.preflight import _machine_problems

KNOWN = {"maas": {"system_id": "a"}}
MISSING = {"maas_problem": {"reason": "no", "remedy": "yes", "missing": True}}
LOG_IN = {"bmc_address": "10.0.0.1", "bmc_user": "root", "bmc_password": "secret"}
PLANNED = {"state": "planned"}


def problems(*nodes: dict[str, Any]) -> list[str]:
    hostvars = {f"node{number}": each for number, each in enumerate(nodes)}
    return list(map(str, _machine_problems({"groups": {"gpu_nodes": list(hostvars)}, "hostvars": hostvars})))


@pytest.mark.parametrize(
    "nodes",
    [
        [KNOWN, MISSING],
        [MISSING, MISSING | LOG_IN],
        [KNOWN, {}],
        [PLANNED | MISSING],
        [],
    ],
)
def test_where_a_machine_is_known_or_can_be_enrolled_there_is_nothing_to_mend(nodes: list[dict[str, Any]]) -> None:
    assert problems(*nodes) == []


@pytest.mark.parametrize("without", LOG_IN)
def test_machines_that_nobody_knows_and_nobody_can_enrol_are_told(without: str) -> None:
    part = {name: value for name, value in LOG_IN.items() if name != without}
    (problem,) = problems(MISSING, MISSING | part, PLANNED | MISSING | LOG_IN)
    assert problem.startswith("inventory: gpu_nodes.hosts: MAAS knows none of these 2 machines, and none has bmc_")
    assert "Remedy: " in problem and "correct url and filters of maas.yml" in problem
    assert "secret" not in problem


@pytest.mark.parametrize("more", [{}, LOG_IN])
def test_an_inventory_that_asks_no_maas_is_told(more: dict[str, str]) -> None:
    (problem,) = problems(more, more)
    assert problem.startswith("inventory: maas.yml: nobody asks MAAS which of these machines it knows. Remedy: write ")
