# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine for real: a kernel and disks of its own, a reboot that GRUB decides on, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import clear, packages, processes
from lab.site import Lab
from lab.up import up
from lab.vm import data_disks, machine
from tests.e2e import host

ROOT = Path(__file__).resolve().parents[3]
MISSING = packages.missing()
REBOOT_SECONDS = 600.0

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="runs a lab, which needs root"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


def say(text: str) -> None:
    print(text, flush=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    one = Lab("unit-vm", ROOT)
    try:
        up(one, say, bare=True)
        machine.up(one, say)
        yield one
    finally:
        with clear.exclusive(one):
            clear.clear(one)


def attempt(lab: Lab, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", "ssh", machine.NAME, "sudo", "sh", "-c", f"'{script}'"],
        cwd=ROOT,
        env={**os.environ, "LAB_NAME": lab.name},
        capture_output=True,
        text=True,
        check=False,
    )


def sh(lab: Lab, script: str) -> str:
    """Output of a script without single quotes, as root on the machine."""
    done = attempt(lab, script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for_boot_after(lab: Lab, boot_id: str) -> None:
    deadline = time.monotonic() + REBOOT_SECONDS
    while attempt(lab, "cat /proc/sys/kernel/random/boot_id").stdout.strip() in ("", boot_id):
        assert time.monotonic() < deadline, (lab.directory / "log" / "vm01.log").read_text()[-3000:]
        time.sleep(1)


def test_it_has_a_kernel_of_its_own_and_the_time(lab: Lab) -> None:
    description = machine.describe(lab)
    assert description is not None
    release, now = sh(lab, "uname -r; date +%s").split()
    assert release == description["kernels"]["installed"] != os.uname().release
    assert abs(float(now) - time.time()) < 5
    assert sh(lab, "hostname") == "vm01"
    assert "vda" in sh(lab, "swapon --noheadings --show=NAME")
    assert sh(lab, "systemctl --failed --no-legend --plain") == ""


def test_its_settings_are_not_the_hosts(lab: Lab) -> None:
    before = Path("/proc/sys/vm/nr_hugepages").read_text()
    assert sh(lab, "sysctl -qw vm.nr_hugepages=8; cat /proc/sys/vm/nr_hugepages; sysctl -qw vm.nr_hugepages=0") == "8"
    assert Path("/proc/sys/vm/nr_hugepages").read_text() == before


def test_data_disks_are_known_by_what_they_are(lab: Lab) -> None:
    listed = sh(lab, "lsblk --nodeps --noheadings --bytes --pairs --output SERIAL,MODEL,SIZE,LABEL")
    for disk in data_disks.DATA_DISKS:
        line = f'SERIAL="{disk.serial}" MODEL="{disk.model}" SIZE="{disk.gib << 30}" LABEL="{disk.label}"'
        assert line in listed.splitlines()
        assert sh(lab, f"readlink -f {disk.link}").startswith("/dev/")


def test_a_reboot_takes_the_command_line_from_grub(lab: Lab) -> None:
    boot_id = sh(lab, "cat /proc/sys/kernel/random/boot_id")
    assert "firstlight.test=1" not in sh(lab, "cat /proc/cmdline")
    line = 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT="firstlight.test=1"/'.replace('"', '\\"')
    sh(lab, f'sed -i "{line}" /etc/default/grub; update-grub; systemd-run --quiet --on-active=1 systemctl reboot')
    wait_for_boot_after(lab, boot_id)
    assert "firstlight.test=1" in sh(lab, "cat /proc/cmdline")
    assert sh(lab, f"ls {' '.join(disk.link for disk in data_disks.DATA_DISKS)} | wc -l") == str(
        len(data_disks.DATA_DISKS)
    )
    assert sh(lab, "hostname; swapon --noheadings --show=NAME | wc -l").split() == ["vm01", "1"]


def test_switched_off_it_ends_and_the_same_disks_boot_again(lab: Lab) -> None:
    boot_id = sh(lab, "touch /var/lib/kept; cat /proc/sys/kernel/random/boot_id")
    attempt(lab, "systemctl poweroff")
    deadline = time.monotonic() + REBOOT_SECONDS
    while processes.pid_of(lab, machine.NAME):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    machine.up(lab, say)
    wait_for_boot_after(lab, boot_id)
    sh(lab, "ls /var/lib/kept")
    sh(lab, f"ls {' '.join(disk.link for disk in data_disks.DATA_DISKS)}")


def test_taken_away_it_leaves_nothing_and_a_new_one_is_new(lab: Lab) -> None:
    machine.down(lab)
    assert machine.describe(lab) is None
    assert not any("qemu" in Path("/proc", str(pid), "cmdline").read_text() for pid in processes.running(lab))
    started = time.monotonic()
    machine.up(lab, say)
    print(f"warm start: {time.monotonic() - started:.1f} s")
    assert attempt(lab, "ls /var/lib/kept").returncode != 0
    assert "firstlight.test=1" not in sh(lab, "cat /proc/cmdline")


def test_it_goes_with_its_lab(lab: Lab) -> None:
    with clear.exclusive(lab):
        clear.clear(lab)
    assert clear.leftovers(lab) == []
    assert host.processes(lab) == []
