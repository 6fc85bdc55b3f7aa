# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel logs that say what those of healthy machines say, and others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from ansible_collections.firstlight.cluster.plugins.module_utils.observe.log_template import template_of
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.starts import SCHEMA

from tests.unit.properties.areas.gpu_errors import BOOT, HARMLESS, log
from tests.unit.properties.defects import UNKNOWN, Defect
from tests.unit.properties.machine import Machine

_VALUES = {"kernel": "5.15.0-1-amd64", "bus": "5d", "driver": "550.54.15", "pid": 7}
# What every start says, with what differs between starts.
STARTS = (
    "BIOS-e820: [mem {0:#018x}-{1:#018x}] usable",
    "tsc: Detected {2}.{3:03d} MHz processor",
    "random: crng init done",
)
CLASS: dict[str, Any] = {
    "kernel_log": {
        "known": [template_of(line.format(**_VALUES).encode()) for line in (*BOOT, *HARMLESS)],
        "expected": [template_of(line.format(1, 2, 3, 4).encode()) for line in STARTS],
        "lines": {template_of(STARTS[0].format(1, 2).encode()): 2},
        "seconds": {
            template_of(STARTS[0].format(1, 2).encode()): [0.0, 1.0],
            template_of(STARTS[1].format(1, 2, 3, 4).encode()): [0.0, 600.0],
            template_of(STARTS[2].encode()): [3.0, 600.0],
        },
        "accepted": [],
        "bad": [{"template": "watchdog: BUG: soft lockup*", "reason": "restart it", "author": "ops"}],
    }
}
CLASS["kernel_log"]["known"] += CLASS["kernel_log"]["expected"]


def healthy(random: Random, machine: Machine) -> None:
    """The first line first; the others in any order, as drivers are loaded side by side.

    Where the log has lost its beginning the node remembers it.
    """
    if machine.first_sequence:
        lines = CLASS["kernel_log"]["lines"]
        seconds = {each: span[1] for each, span in CLASS["kernel_log"]["seconds"].items()}
        said = {each: [lines.get(each, 1), second] for each, second in seconds.items()}
        machine.starts = {"schema": SCHEMA, "starts": [[machine.boot_id, said]]}
        return
    for line in STARTS[1:]:
        text = line.format(0, 0, random.randrange(5000), random.randrange(1000))
        at = random.randrange(len(machine.kernel_log) + 1)
        stamp = random.randrange(3 * 10**6, min(600 * 10**6, int(machine.uptime * 1e6)))
        machine.kernel_log.insert(at, f"6,{at},{stamp},-;{text}")
    for stamp in (1, 0):
        text = STARTS[0].format(*(random.randrange(2**40) for _ in range(2)))
        machine.kernel_log.insert(0, f"6,0,{stamp},-;{text}")


def _started(machine: Machine, uptime: float = 1e5) -> None:
    """So long ago, with a log that is whole."""
    machine.first_sequence, machine.uptime = 0, uptime
    machine.files["proc/uptime"] = f"{uptime:.2f} 1.00"
    machine.kernel_log = ["6,0,0,-;Linux version 6.1.0-28-amd64 (a@b) (gcc-12 12.2.0) #1 SMP PREEMPT_DYNAMIC"]


def _lacks(*lines: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        _started(machine)
        for number, line in enumerate(line for line in (STARTS[0], *STARTS) if line not in lines):
            machine.kernel_log.append(f"6,{number},{4 * number},-;{line.format(1, 2, 3, 4)}")

    return spoil


def _out_of_order(machine: Machine, _random: Random) -> None:
    _started(machine)
    for number, line in enumerate((STARTS[2], STARTS[0], STARTS[0], STARTS[1])):
        machine.kernel_log.append(f"6,{number},{number + 10**6},-;{line.format(1, 2, 3, 4)}")


def _one_less(machine: Machine, _random: Random) -> None:
    """A restart before this one said twice what came once now."""
    said = [[boot, {"mlx*_core *: firmware version: *": [count, 5.0]}] for boot, count in
            ((machine.boot_id, 1), ("earlier", 2), ("first", 3))]  # fmt: skip
    machine.starts = {"schema": SCHEMA, "starts": said}


def _once(machine: Machine, _random: Random) -> None:
    _lacks()(machine, _random)
    machine.kernel_log = [line for line in machine.kernel_log if not line.startswith("6,1,")]


def _flood(words: Callable[[Random], str]) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.kernel_log += [f"6,{number},1,-;{words(random)}" for number in range(3000)]

    return spoil


def _letters(random: Random) -> str:
    return "".join(random.choices("ghijklmnop", k=30))


DEFECTS = [
    Defect("kernel.log.unknown", "a new line", log("mce: [Hardware Error]: CPU 3"), ("warn",)),
    Defect("kernel.log.unknown", "a new XID", log("NVRM: Xid (PCI:0000:5d:00): 79, pid=7, name=x"), ("warn",)),
    Defect("kernel.log.unknown", "a flood of them", _flood(_letters), ("warn",)),
    Defect("kernel.log.bad", "a bad line", log("watchdog: BUG: soft lockup - CPU#3 stuck for 22s!")),
    Defect("kernel.log.bad", "more than is told apart", _flood(_letters), UNKNOWN),
    Defect("kernel.log.bad", "more of one", _flood(lambda random: f"watchdog: {_letters(random)}"), UNKNOWN),
    *(Defect("kernel.log.missing", line.partition(":")[0], _lacks(line), ("warn",)) for line in STARTS),
    Defect("kernel.log.missing", "all", _lacks(*STARTS), ("warn",)),
    Defect("kernel.log.missing", "one of two", _once, ("warn",)),
    Defect("kernel.log.order", "one late", _out_of_order, ("warn",)),
    Defect("kernel.log.changed", "one less", _one_less, ("warn",)),
]
