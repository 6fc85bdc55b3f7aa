# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the host: its network and its clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from lab import files, machine_view, network, ntp
from lab.errors import LabError
from lab.kinds.model import Kind, Parameter, Target, Values, change_view

SECONDS = Parameter("seconds", 5, 1, lambda machine: 86_401)
# chronyc -c tracking: reference id, its name, stratum, reference time, offset of the system's clock in seconds, ...
CHRONY_OFFSET = 4
CHRONY_ATTEMPTS = 20


def _shift_clock(target: Target, values: Values) -> None:
    _set_offset(target, float(values["seconds"]))


def _right_clock(target: Target, values: Values) -> None:
    _set_offset(target, 0.0)


def _set_offset(target: Target, seconds: float) -> None:
    path = ntp.offsets_file(target.lab.directory)
    offsets = {**files.read_json(path, {}), target.machine.address: seconds}
    files.write_json(path, {address: offset for address, offset in offsets.items() if offset})
    # A settled client waits for minutes between two questions, and takes some answers before it believes in a leap.
    # Where chrony does not run there is nobody to wait for.
    with contextlib.suppress(LabError, IndexError, ValueError):
        for _attempt in range(CHRONY_ATTEMPTS):
            target.engine.execute(target.machine.name, ["chronyc", "burst", "2/2"])
            tracking = target.engine.execute(target.machine.name, ["chronyc", "-c", "tracking"]).split(",")
            if abs(abs(float(tracking[CHRONY_OFFSET])) - abs(seconds)) < 0.5:
                return
            time.sleep(2)


def _persistenced(verb: str) -> Callable[[Target, Values], None]:
    def change(target: Target, values: Values) -> None:
        # A disk that was written anew in the meantime has none.
        script = f"! systemctl cat {_PERSISTENCED} > /dev/null 2>&1 || systemctl {verb} {_PERSISTENCED}"
        target.engine.execute(target.machine.name, ["sh", "-c", script])

    return change


_PERSISTENCED = "nvidia-persistenced.service"
_TAINT = "proc_sys/kernel/tainted"
_OOPS = 1 << 7

KINDS: tuple[Kind, ...] = (
    Kind(
        "unreachable",
        "host.reachable",
        "the node's network cable is pulled",
        lambda target, values: network.unplug(target.lab, target.machine),
        lambda target, values: network.plug(target.lab, target.machine),
    ),
    Kind(
        "clock-offset",
        "clock.offset",
        "the time server says that the node's clock is so many seconds behind",
        _shift_clock,
        _right_clock,
        (SECONDS,),
    ),
    Kind(
        "unit-stopped",
        "systemd.required",
        "nvidia-persistenced is stopped",
        _persistenced("stop"),
        _persistenced("start"),
        needs_system=True,
    ),
    Kind(
        "command-line",
        "kernel.command_line",
        "the kernel was started without iommu=pt",
        change_view("cmdline", lambda machine, now: now.replace(" iommu=pt", "")),
        change_view("cmdline", lambda machine, now: machine_view.command_line()),
    ),
    Kind(
        "oops",
        "kernel.taint",
        "the kernel has oopsed",
        change_view(_TAINT, lambda machine, now: f"{_OOPS}\n"),
        change_view(_TAINT, lambda machine, now: "0\n"),
    ),
    Kind(
        "swap-on",
        "host.swap",
        "a file is in use as swap",
        change_view("swaps", lambda machine, now: f"{machine_view.SWAPS}/swap.img file 8388604 0 -2\n"),
        change_view("swaps", lambda machine, now: machine_view.SWAPS),
    ),
)
