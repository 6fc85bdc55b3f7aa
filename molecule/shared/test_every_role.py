# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the second converge: what holds of every role."""

from __future__ import annotations

import re

from shared.machine import Machine
from shared.scenario import Scenario


def test_the_role_has_tests_of_its_own(scenario: Scenario) -> None:
    """Molecule takes a scenario without tests for a success."""
    assert (scenario.directory / "tests" / f"test_{scenario.name}.py").is_file()


def test_check_mode_finds_nothing_to_do(scenario: Scenario, machines: dict[str, Machine]) -> None:
    before = {name: machine.state() for name, machine in machines.items()}

    run = scenario.converge("--check", "--diff")

    assert run.returncode == 0, run.tail
    assert run.changes == []
    for name, machine in machines.items():
        assert machine.state().touched_since(before[name]) == set()


def test_nothing_is_half_done(machines: dict[str, Machine]) -> None:
    for machine in machines.values():
        assert machine.run("dpkg --audit") == ""
        assert machine.run("systemctl --failed --no-legend --plain") == ""


def test_what_timers_do_counts_for_nothing(machines: dict[str, Machine]) -> None:
    """One that strikes during a test must not fail it: dpkg's copies at midnight did."""
    for machine in machines.values():
        before = machine.state()
        machine.run(
            "systemctl list-timers --no-legend --plain --no-pager"
            " | grep --only-matching '[^ ]*[.]service' | xargs --verbose systemctl start"
        )
        assert machine.state().touched_since(before) == set()


def test_an_unsupported_system_is_refused(scenario: Scenario, machine: Machine) -> None:
    release, version = machine.read("/etc/os-release"), machine.read("/etc/debian_version")
    machine.write("/etc/os-release", re.sub(r"\b1[23]\b|bookworm|trixie", "11", release))
    machine.write("/etc/debian_version", "11.11\n")
    try:
        before = machine.state()

        run = scenario.converge()

        assert run.returncode != 0
        assert f"{machine.name} runs Debian 11" in run.messages
        assert "supported are Debian 12" in run.messages and "--limit" in run.messages
        assert machine.state().touched_since(before) == set()
    finally:
        machine.write("/etc/os-release", release)
        machine.write("/etc/debian_version", version)
