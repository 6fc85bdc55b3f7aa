# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area host that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("unreachable", [], "host.reachable", "host", "unknown"),
    ("unit-stopped", [], "systemd.required", "unit:nvidia-persistenced.service", "fail"),
    ("command-line", [], "kernel.command_line", "host", "fail"),
]
