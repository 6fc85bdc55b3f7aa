# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of processors and memory."""

from __future__ import annotations

import re
from collections.abc import Callable

from lab import machine_view
from lab.kinds.model import Kind, Target, Values, change_view
from lab.machines import Machine

_TAINT = "proc_sys/kernel/tainted"
_MACHINE_CHECK = 1 << 4
_CONTROLLER = f"sysfs/system/edac/mc/{machine_view.EDAC[3]}"
_OLD_MICROCODE = "0x2b0004b1"


def _processors(sockets: int) -> Callable[[Target, Values], None]:
    def text(machine: Machine, now: str) -> str:
        flags = next((f"{line}\n" for line in now.splitlines() if line.startswith("flags")), "")
        return machine_view.processors(machine, sockets, flags)

    return change_view("cpuinfo", text)


def _count(name: str, count: int) -> Callable[[Target, Values], None]:
    return change_view(f"{_CONTROLLER}/{name}", lambda machine, now: f"{count}\n")


def _offline(kib: int) -> Callable[[Target, Values], None]:
    pattern = re.compile(r"^(HardwareCorrupted: *).*$", re.MULTILINE)
    return change_view("meminfo", lambda machine, now: pattern.sub(rf"\g<1>{kib} kB", now))


KINDS: tuple[Kind, ...] = (
    Kind("cpu-missing", "cpu.count", "one of two processors is gone", _processors(1), _processors(2)),
    Kind(
        "microcode",
        "cpu.microcode",
        "one thread runs older microcode than all others",
        change_view("cpuinfo", lambda machine, now: now.replace(machine_view.MICROCODE, _OLD_MICROCODE, 1)),
        change_view("cpuinfo", lambda machine, now: now.replace(_OLD_MICROCODE, machine_view.MICROCODE)),
    ),
    Kind(
        "machine-check",
        "cpu.mce",
        "the kernel has taken a machine check exception",
        change_view(_TAINT, lambda machine, now: f"{_MACHINE_CHECK}\n"),
        change_view(_TAINT, lambda machine, now: "0\n"),
    ),
    Kind(
        "memory-uncorrected",
        "memory.ecc.uncorrected",
        "a memory controller has counted an uncorrectable error",
        _count("ue_count", 1),
        _count("ue_count", 0),
    ),
    Kind(
        "memory-corrected",
        "memory.ecc.corrected",
        "a memory controller corrects errors all the time",
        # More in a day than anybody bears, also on a host that has been running for years.
        _count("ce_count", 10**9),
        _count("ce_count", 0),
    ),
    Kind(
        "page-offline",
        "memory.page_offline",
        "the kernel has put a broken page of memory out of use",
        _offline(4),
        _offline(0),
    ),
)
