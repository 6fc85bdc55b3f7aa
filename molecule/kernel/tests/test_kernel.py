# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles base_os and reboot on a kernel of their own. The machine was restarted once, by converge."""

from __future__ import annotations

from typing import Any

from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Run, Scenario

BOOT_ID = "/proc/sys/kernel/random/boot_id"
RESTART = "Restart and wait until it answers"


def start(kernel: str, *words: str) -> dict[str, Any]:
    """What the machine is to start with."""
    packages = [f"linux-image-{kernel}"] if kernel else []
    return {"start": {"kernel": kernel, "packages": packages, "command_line": words, "hugepages": [], "mounts": []}}


def tasks(run: Run) -> list[str]:
    return [change.split(" | ")[-1] for change in run.changes]


def test_the_pinned_kernel_runs_is_held_and_no_other_gets_in(machine: Machine, scenario: Scenario) -> None:
    pinned, first = scenario.vm["kernels"]["other"], scenario.vm["kernels"]["installed"]
    assert machine.run("uname -r") == pinned
    assert machine.run("apt-mark showhold").split() == [f"linux-image-{pinned}"]
    assert machine.host.package(f"linux-image-{first}").is_installed, "what it was started with is gone"
    assert "Candidate: (none)" in machine.run("apt-cache policy linux-image-6.12-cloud-amd64")
    assert "linux-image" not in machine.run("apt-get --simulate dist-upgrade")
    assert machine.run("apt-get check 2>&1 >/dev/null") == ""


def test_the_command_line_is_live(machine: Machine) -> None:
    assert {"iommu=pt", "pci=realloc", "console=ttyS0,115200"} <= set(machine.read("/proc/cmdline").split())


def test_values_and_huge_pages_are_live_after_the_start(machine: Machine) -> None:
    assert "[madvise]" in machine.read("/sys/kernel/mm/transparent_hugepage/enabled")
    assert machine.read("/proc/sys/kernel/numa_balancing") == "0\n"
    assert machine.read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "32\n"
    assert "pagesize=2M" in machine.run("findmnt --noheadings --output OPTIONS /dev/hugepages2M")
    assert machine.host.service("firstlight-kernel-values").is_running


def test_swap_is_off_and_stays_so(machine: Machine) -> None:
    """Behind a restart, with a swap partition on the disk that systemd would find without fstab."""
    assert "swap" in machine.run("lsblk --noheadings --output FSTYPE").split()
    assert machine.run("swapon --show") == ""


def test_a_kernel_that_the_repository_has_not_is_refused_before_anything_changes(
    machine: Machine, scenario: Scenario
) -> None:
    before = machine.state()

    run = scenario.converge(variables=start("6.1.0-1-cloud-amd64", "iommu=pt", "pci=realloc"))

    assert run.returncode != 0
    assert "linux-image-6.1.0-1-cloud-amd64 is not in http://" in run.messages, run.tail
    assert "Correct the version in the node class" in run.messages
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()


def test_another_kernel_and_a_word_less_take_one_restart(machine: Machine, scenario: Scenario) -> None:
    kernel = scenario.vm["kernels"]["installed"]
    before = machine.read(BOOT_ID)

    run = scenario.converge(variables=start(kernel, "iommu=pt"))

    assert run.returncode == 0, run.tail
    assert tasks(run).count(RESTART) == 1
    assert machine.read(BOOT_ID) != before
    assert machine.run("uname -r") == kernel
    words = machine.read("/proc/cmdline").split()
    assert "iommu=pt" in words and "pci=realloc" not in words
    again = scenario.converge(variables=start(kernel, "iommu=pt"))
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_menu_that_was_changed_by_hand_is_mended_without_a_restart(machine: Machine, scenario: Scenario) -> None:
    kernel = scenario.vm["kernels"]["installed"]
    before = machine.read(BOOT_ID)
    machine.run("sed -i s/iommu=pt/iommu=no/ /boot/grub/grub.cfg")

    run = scenario.converge(variables=start(kernel, "iommu=pt"))

    assert (run.returncode, tasks(run)) == (0, ["Make the boot menu anew"]), run.tail
    assert " iommu=pt" in machine.read("/boot/grub/grub.cfg")
    assert machine.read(BOOT_ID) == before


def test_what_is_not_asked_for_any_more_goes(machine: Machine, scenario: Scenario) -> None:
    before = machine.read(BOOT_ID)

    run = scenario.converge(variables=start(""))

    assert run.returncode == 0, run.tail
    assert tasks(run).count(RESTART) == 1
    assert machine.read(BOOT_ID) != before
    assert "iommu=pt" not in machine.read("/proc/cmdline").split()
    assert machine.run("apt-mark showhold") == ""
    for path in ("/etc/apt/preferences.d/firstlight-kernel", "/etc/default/grub.d/90-firstlight.cfg"):
        assert not machine.host.file(path).exists
    for kernel in scenario.vm["kernels"].values():
        assert machine.host.package(f"linux-image-{kernel}").is_installed
    again = scenario.converge(variables=start(""))
    assert (again.returncode, again.changes) == (0, []), again.tail
