# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role reboot where another role asks for a restart; what kernel and boot menu ask for is in the scenario `kernel`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shared.machine import Machine
from shared.scenario import Run, Scenario

BOOT_ID = "/proc/sys/kernel/random/boot_id"
RESTART = "Restart and wait until it answers"
REASON = "the new module is loaded by the next start"


def tasks(run: Run) -> list[str]:
    return [change.split(" | ")[-1] for change in run.changes]


@pytest.fixture
def asked(machine: Machine) -> Iterator[str]:
    """A role has asked for a restart: the boot before it."""
    machine.run("mkdir -p /run/firstlight/reboot && echo %s > /run/firstlight/reboot/gpu_driver", REASON)
    yield machine.read(BOOT_ID)
    machine.run("rm -f /run/firstlight/reboot/gpu_driver")


def test_a_restart_that_a_role_asks_for(machine: Machine, scenario: Scenario, asked: str) -> None:
    tried = scenario.converge("--check")
    assert (tried.returncode, tasks(tried)) == (0, [RESTART]), tried.tail
    assert machine.read(BOOT_ID) == asked

    run = scenario.converge()

    assert (run.returncode, tasks(run)) == (0, [RESTART]), run.tail
    assert machine.read(BOOT_ID) != asked
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.long
def test_what_another_role_asks_for_happens_in_the_same_run(machine: Machine, scenario: Scenario) -> None:
    machine.run("rm /etc/modprobe.d/molecule.conf")
    before = machine.read(BOOT_ID)

    run = scenario.converge()

    assert (run.returncode, tasks(run)[-1]) == (0, RESTART), run.tail
    assert run.changes[0] == f"{machine.name}: Change the setting"
    assert machine.read(BOOT_ID) != before


@pytest.mark.parametrize("what", ["gpu", pytest.param("job", marks=pytest.mark.long)])
def test_nobody_is_restarted_under_a_job(machine: Machine, scenario: Scenario, asked: str, what: str) -> None:
    """The lab has no device files and no scheduler: a plain file and a program of that name stand for them."""
    started = "systemd-run --quiet --unit=holder"
    if what == "gpu":
        machine.run(f"touch /dev/nvidia0 && {started} --property=StandardInput=file:/dev/nvidia0 sleep infinity")
    else:
        machine.run(f"cp /usr/bin/sleep /usr/local/bin/slurmstepd && {started} slurmstepd infinity")
    try:
        run = scenario.converge()

        assert run.returncode != 0
        name = "sleep" if what == "gpu" else "slurmstepd"
        words = [f"gpu_driver: {REASON}", "GPUs are held, or jobs run", f"({name})", "Drain the node"]
        assert [word for word in words if word not in run.messages] == [], run.tail
        assert machine.read(BOOT_ID) == asked
    finally:
        machine.run("systemctl stop holder; rm -f /dev/nvidia0 /usr/local/bin/slurmstepd")


def test_nobody_is_restarted_without_leave(machine: Machine, scenario: Scenario, asked: str) -> None:
    run = scenario.converge(variables={"reboot_allowed": False})
    assert run.returncode != 0
    assert f"must be restarted (gpu_driver: {REASON}), and reboot_allowed is false" in run.messages, run.tail
    assert machine.read(BOOT_ID) == asked


@pytest.mark.long
def test_a_node_in_service_is_left_alone(machine: Machine, scenario: Scenario, asked: str) -> None:
    run = scenario.converge(variables={"reboot_in_service": True})
    assert (run.returncode, run.changes) == (0, []), run.tail
    assert machine.read(BOOT_ID) == asked


def test_what_came_back_worse_is_named(machine: Machine, scenario: Scenario) -> None:
    """As if the look before had found a GPU of another kind."""
    parts = {"devices": {"0000:18:00.0": "GPU or display 10de:2335"}, "memory_kib": 0, "processors": 1, "disks": 1}
    before = machine.read(BOOT_ID)

    due = {"reasons": ["a test"], "parts": parts, "in_vain": False}

    run = scenario.converge(variables={"reboot_due": due})

    assert run.returncode != 0
    assert "0 of 1 are left of GPU or display 10de:2335, gone: 0000:18:00.0" in run.messages, run.tail
    assert machine.read(BOOT_ID) != before


@pytest.mark.long
def test_a_restart_that_changed_nothing_is_told_and_not_done_again(machine: Machine, scenario: Scenario) -> None:
    wanted = {"reboot_kernel": "6.1.0-0-pinned", "reboot_settle_timeout": 5}

    run = scenario.converge(variables=wanted)

    assert run.returncode != 0
    assert "as if it had not been: " in run.messages and "6.1.0-0-pinned" in run.messages, run.tail
    assert "/boot/grub/grub.cfg" in run.messages

    before = machine.read(BOOT_ID)
    again = scenario.converge(variables=wanted)

    assert again.returncode != 0
    assert "but it was already" in again.messages and "restart the host yourself" in again.messages, again.tail
    assert machine.read(BOOT_ID) == before
