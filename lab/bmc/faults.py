# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a machine below its operating system, and of its BMC: LABDIR/bmc-faults.json, machine -> fault -> value.

It is read anew whenever somebody asks, so that a fault comes and goes without a restart of anything.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab import files

DOWN, UNTRUSTED, LOGIN = "bmc-down", "bmc-certificate", "bmc-login"
NO_POWER, POST, NO_LINK, ORDER = "no-power", "post-stuck", "no-link", "boot-order"
NO_DISK, RENAMED, SCRIPT = "no-disk", "disk-renamed", "script-fails"
CLOCK, CERTIFICATE = "clock-wrong", "certificate"

Asked = Callable[[str], int]
"""The value of a fault of one machine, 0 where it does not have it."""


def none(name: str) -> int:
    """A machine without any."""
    return 0


def of(labdir: Path, machine: str) -> Asked:
    """The faults of `machine` as they are at any time."""

    def ask(name: str) -> int:
        return int(files.read_json(_file(labdir), {}).get(machine, {}).get(name, 0))

    return ask


def change(labdir: Path, machine: str, name: str, value: int) -> None:
    """Give the machine a fault, or with 0 take it away."""
    content = files.read_json(_file(labdir), {})
    mine = {**content.get(machine, {}), name: value}
    content[machine] = {each: one for each, one in mine.items() if one}
    files.write_json(_file(labdir), {each: one for each, one in content.items() if one})


def _file(labdir: Path) -> Path:
    return labdir / "bmc-faults.json"
