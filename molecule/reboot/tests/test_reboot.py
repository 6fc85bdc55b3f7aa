# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role reboot, and of role base_os what only a kernel of its own shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Run, Scenario

BOOT_ID = "/proc/sys/kernel/random/boot_id"
RESTART = "Restart and wait until it answers"
REASON = "the new module is loaded by the next start"


@pytest.fixture
def vm(machines: dict[str, Machine]) -> Machine:
    return machines["vm01"]


def start(kernel: str, *words: str) -> dict[str, Any]:
    """What the virtual machine is to start with."""
    packages = [f"linux-image-{kernel}"]
    return {"start": {"kernel": kernel, "packages": packages, "command_line": words, "hugepages": [], "mounts": []}}


def tasks(run: Run) -> list[str]:
    return [change.split(" | ")[-1] for change in run.changes]


# -- the virtual machine: it was restarted once, by converge


def test_the_pinned_kernel_runs_is_held_and_no_other_gets_in(vm: Machine, scenario: Scenario) -> None:
    pinned, first = scenario.vm["kernels"]["other"], scenario.vm["kernels"]["installed"]
    assert vm.run("uname -r") == pinned
    assert vm.run("apt-mark showhold").split() == [f"linux-image-{pinned}"]
    assert vm.host.package(f"linux-image-{first}").is_installed, "what it was started with before stays to go back to"
    assert "Candidate: (none)" in vm.run("apt-cache policy linux-image-6.12-cloud-amd64")
    assert "linux-image" not in vm.run("apt-get --simulate dist-upgrade")
    assert vm.run("apt-get check 2>&1 >/dev/null") == ""


def test_the_command_line_is_live(vm: Machine) -> None:
    assert {"iommu=pt", "pci=realloc", "console=ttyS0,115200"} <= set(vm.read("/proc/cmdline").split())


def test_values_and_huge_pages_are_live_after_the_start(vm: Machine) -> None:
    assert "[madvise]" in vm.read("/sys/kernel/mm/transparent_hugepage/enabled")
    assert vm.read("/proc/sys/kernel/numa_balancing") == "0\n"
    assert vm.read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "32\n"
    assert "pagesize=2M" in vm.run("findmnt --noheadings --output OPTIONS /dev/hugepages2M")
    assert vm.host.service("firstlight-kernel-values").is_running


def test_swap_is_off_and_stays_so(vm: Machine) -> None:
    assert vm.run("swapon --show") == ""


def test_a_kernel_that_the_repository_has_not_is_refused_before_anything_changes(
    vm: Machine, scenario: Scenario
) -> None:
    before = vm.state()

    run = scenario.converge("--limit", "vm01", variables=start("6.1.0-1-cloud-amd64", "iommu=pt", "pci=realloc"))

    assert run.returncode != 0
    assert "linux-image-6.1.0-1-cloud-amd64 is not in http://" in run.messages, run.tail
    assert "Correct the version in the node class" in run.messages
    assert vm.state().touched_since(before, without=PACKAGE_MANAGERS) == set()


def test_another_kernel_and_a_word_less_take_one_restart(vm: Machine, scenario: Scenario) -> None:
    kernel = scenario.vm["kernels"]["installed"]
    before = vm.read(BOOT_ID)

    run = scenario.converge("--limit", "vm01", variables=start(kernel, "iommu=pt"))

    assert run.returncode == 0, run.tail
    assert tasks(run).count(RESTART) == 1
    assert vm.read(BOOT_ID) != before
    assert vm.run("uname -r") == kernel
    words = vm.read("/proc/cmdline").split()
    assert "iommu=pt" in words and "pci=realloc" not in words
    again = scenario.converge("--limit", "vm01", variables=start(kernel, "iommu=pt"))
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_menu_that_was_changed_by_hand_is_mended_without_a_restart(vm: Machine, scenario: Scenario) -> None:
    kernel = scenario.vm["kernels"]["installed"]
    before = vm.read(BOOT_ID)
    vm.run("sed -i s/iommu=pt/iommu=no/ /boot/grub/grub.cfg")

    run = scenario.converge("--limit", "vm01", variables=start(kernel, "iommu=pt"))

    assert (run.returncode, tasks(run)) == (0, ["Make the boot menu anew"]), run.tail
    assert " iommu=pt" in vm.read("/boot/grub/grub.cfg")
    assert vm.read(BOOT_ID) == before


# -- the container


@pytest.fixture
def asked(machine: Machine) -> Iterator[str]:
    """A role has asked for a restart: the boot before it."""
    machine.run("mkdir -p /run/firstlight/reboot && echo %s > /run/firstlight/reboot/gpu_driver", REASON)
    yield machine.read(BOOT_ID)
    machine.run("rm -f /run/firstlight/reboot/gpu_driver")


def test_a_restart_that_a_role_asks_for(machine: Machine, scenario: Scenario, asked: str) -> None:
    tried = scenario.converge("--limit", machine.name, "--check")
    assert (tried.returncode, tasks(tried)) == (0, [RESTART]), tried.tail
    assert machine.read(BOOT_ID) == asked

    run = scenario.converge("--limit", machine.name)

    assert (run.returncode, tasks(run)) == (0, [RESTART]), run.tail
    assert machine.read(BOOT_ID) != asked
    again = scenario.converge("--limit", machine.name)
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.parametrize("what", ["gpu", "job"])
def test_nobody_is_restarted_under_a_job(machine: Machine, scenario: Scenario, asked: str, what: str) -> None:
    """The lab has no device files and no scheduler: a plain file and a program of that name stand for them."""
    started = "systemd-run --quiet --unit=holder"
    if what == "gpu":
        machine.run(f"touch /dev/nvidia0 && {started} --property=StandardInput=file:/dev/nvidia0 sleep infinity")
    else:
        machine.run(f"cp /usr/bin/sleep /usr/local/bin/slurmstepd && {started} slurmstepd infinity")
    try:
        run = scenario.converge("--limit", machine.name)

        assert run.returncode != 0
        name = "sleep" if what == "gpu" else "slurmstepd"
        words = [f"gpu_driver: {REASON}", "GPUs are held, or jobs run", f"({name})", "Drain the node"]
        assert [word for word in words if word not in run.messages] == [], run.tail
        assert machine.read(BOOT_ID) == asked
    finally:
        machine.run("systemctl stop holder; rm -f /dev/nvidia0 /usr/local/bin/slurmstepd")


def test_nobody_is_restarted_without_leave(machine: Machine, scenario: Scenario, asked: str) -> None:
    run = scenario.converge("--limit", machine.name, variables={"reboot_allowed": False})
    assert run.returncode != 0
    assert f"must be restarted (gpu_driver: {REASON}), and reboot_allowed is false" in run.messages, run.tail
    assert machine.read(BOOT_ID) == asked


def test_a_node_in_service_is_left_alone(machine: Machine, scenario: Scenario, asked: str) -> None:
    run = scenario.converge("--limit", machine.name, variables={"reboot_in_service": True})
    assert (run.returncode, run.changes) == (0, []), run.tail
    assert machine.read(BOOT_ID) == asked


def test_what_came_back_worse_is_named(machine: Machine, scenario: Scenario) -> None:
    """As if the look before had found a GPU more."""
    parts = {"devices": {"0000:18:00.0": "GPU or display 10de:2330"}, "memory_kib": 0, "processors": 1, "disks": 1}
    before = machine.read(BOOT_ID)

    run = scenario.converge("--limit", machine.name, variables={"reboot_due": {"reasons": ["a test"], "parts": parts}})

    assert run.returncode != 0
    assert "0 of 1 are left of GPU or display 10de:2330, gone: 0000:18:00.0" in run.messages, run.tail
    assert machine.read(BOOT_ID) != before
