# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask systemd for failed units, for the state of those that a node cannot do without, and for limits of services."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .source import SourceError, attempt, run_tool

FABRIC_MANAGER = "nvidia-fabricmanager.service"
DOCKER = "docker.service"
_LIMITS = {"DefaultLimitMEMLOCK": "memlock", "DefaultLimitNOFILE": "nofile"}
_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "Result")


def read_systemd(systemctl: str = "systemctl", units: Sequence[str] = ()) -> dict[str, Any]:
    """`failed`: names of all failed units; `units`: see `unit_states`, of these and of those that are always asked of.

    `limits`: what services are given that ask for nothing, `memlock` in bytes and `nofile`: a number or `infinity`; or
    `{"error"}`. Raises SourceMissing without systemctl, SourceError where it cannot talk to systemd.
    """
    listed = run_tool(
        [systemctl, "list-units", "--state=failed", "--all", "--plain", "--no-legend", "--no-pager", "--full"]
    )
    asked = list(dict.fromkeys((FABRIC_MANAGER, DOCKER, *units)))
    return {
        "failed": parse_failed(listed),
        "units": unit_states(asked, systemctl),
        "limits": attempt(_limits, systemctl),
    }


def _limits(systemctl: str) -> dict[str, int | str]:
    """Without a unit systemd shows its own settings."""
    return parse_limits(run_tool([systemctl, "show", "--no-pager", "--property=" + ",".join(_LIMITS)]))


def parse_limits(shown: str) -> dict[str, int | str]:
    """By name `infinity` or a number; raises SourceError where one is not told."""
    pairs = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    found: dict[str, int | str] = {}
    for key, name in _LIMITS.items():
        value = pairs.get(key, "")
        if not re.fullmatch(r"infinity|[0-9]{1,20}", value):
            raise SourceError(f"systemctl show names no {key}")
        found[name] = value if value == "infinity" else int(value)
    return found


def parse_failed(listed: str) -> list[str]:
    """Unit names of `systemctl list-units --plain --no-legend`, sorted."""
    names = set()
    for line in listed.splitlines():
        fields = line.replace("\u25cf", " ").split()
        if fields:
            if len(fields) < 4 or "." not in fields[0]:
                raise SourceError(f"not a line of systemctl list-units: {line[:120]!r}")
            names.add(fields[0])
    return sorted(names)


def unit_states(units: Sequence[str], systemctl: str = "systemctl") -> dict[str, dict[str, str]]:
    """`load`, `active`, `sub`, `result` of each unit; a unit that does not exist has `load` = `not-found`."""
    shown = run_tool([systemctl, "show", "--no-pager", "--property=" + ",".join(_PROPERTIES), *units])
    # One block of lines for each unit, in the order asked.
    blocks = [block for block in shown.split("\n\n") if block.strip()]
    if len(blocks) != len(units):
        raise SourceError(f"systemctl show tells of {len(blocks)} units where it was asked for {len(units)}")
    return {unit: _state(unit, block) for unit, block in zip(units, blocks, strict=True)}


def _state(unit: str, block: str) -> dict[str, str]:
    pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    if "ActiveState" not in pairs:
        raise SourceError(f"systemctl show {unit} names no ActiveState")
    return {
        "load": pairs.get("LoadState", ""),
        "active": pairs["ActiveState"],
        "sub": pairs.get("SubState", ""),
        "result": pairs.get("Result", ""),
    }
