# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the first converge: check mode says what it would do, succeeds, and touches nothing."""

from __future__ import annotations

from shared.machine import Machine
from shared.scenario import Scenario


def test_check_mode_on_a_fresh_host(scenario: Scenario, machines: dict[str, Machine]) -> None:
    before = {name: machine.state() for name, machine in machines.items()}

    run = scenario.converge("--check", "--diff")

    assert run.returncode == 0, run.tail
    assert run.hosts
    for name in run.hosts:
        assert any(change.startswith(f"{name}: ") for change in run.changes), f"nothing to do on {name}"
    for name, machine in machines.items():
        assert machine.state().touched_since(before[name]) == set()
