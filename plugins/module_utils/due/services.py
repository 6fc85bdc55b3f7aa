# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services are due: what systemd says of their units, and the configuration they were last started with.

A stamp is the hash of the configuration that a service reads at its start. It is written after the start, so that a
run that was killed between writing a file and restarting the service is made good by the next one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROPERTIES = (
    "Id",
    "Names",
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "ConditionResult",
    "ConditionTimestampMonotonic",
)
# Of systemd itself: it has no unit, only a configuration that it reads again.
REEXECUTED = "reexecuted"
_RUNNING = ("active", "activating", "reloading")
_ENABLED = ("enabled", "static", "generated", "transient")


@dataclass(frozen=True)
class Unit:
    """A unit as systemd shows it."""

    present: bool
    enabled: bool
    running: bool
    declined: bool


def parse_show(text: str) -> dict[str, Unit]:
    """Every unit of `systemctl show` with PROPERTIES, under each of its names."""
    units = {}
    for block in text.split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "LoadState" not in shown:
            continue
        unit = Unit(
            present=shown["LoadState"] != "not-found",
            enabled=shown.get("UnitFileState", "") in _ENABLED,
            running=shown.get("ActiveState") in _RUNNING,
            # Its own Condition lines made systemd decline it: chrony where the clock is not the host's own.
            declined=shown.get("ConditionResult") == "no" and shown.get("ConditionTimestampMonotonic", "0") != "0",
        )
        for name in [shown.get("Id", ""), *shown.get("Names", "").split()]:
            units[name] = unit
    return units


def unit_of(name: str, units: Mapping[str, Unit]) -> Unit:
    """The unit that `name` means, with or without its suffix."""
    absent = Unit(present=False, enabled=False, running=False, declined=False)
    return units.get(name) or units.get(f"{name}.service") or absent


def stamp_of(hashes: Sequence[str], words: Sequence[str]) -> str:
    """The stamp of a configuration: hashes of the files in it, and words that stand for the rest. Empty for none."""
    if not hashes and not words:
        return ""
    return hashlib.sha256(json.dumps([list(hashes), list(words)]).encode()).hexdigest()


@dataclass(frozen=True)
class Due:
    """What is to be done about a service, and why. An empty `state` leaves it as it is.

    `drifted`: it was last started with the wanted configuration, of which a file was changed since. Once that file
    is mended nothing but the missing stamp says that the service may run with the other content.
    """

    why: list[str]
    state: str
    stamp: str
    present: bool
    drifted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As the module returns it."""
        return vars(self).copy()


def due(
    wanted: Mapping[str, Any],
    unit: Unit,
    stamp: str,
    applied: str,
    unlike: Sequence[str] = (),
    waits: bool = False,
) -> Due:
    """Compare a service with how it should be.

    `wanted`: state (started or stopped; enabled goes with it) and action (restarted, reloaded or reexecuted: how it
    takes a new configuration). `stamp` is that of the wanted configuration, `applied` that of its last start.
    `unlike`: files it reads whose content is not the wanted one; who changed them may have restarted it since.
    `waits`: it cannot run before the machine was started anew, and is started with it.
    """
    changed = [f"reads {path}, which has another content" for path in unlike]
    if not changed and stamp and stamp != applied:
        changed = ["was last started with another configuration"]
    drifted = bool(unlike) and stamp == applied
    action = wanted.get("action") or "restarted"
    if action == REEXECUTED:
        return Due(changed, action if changed else "", stamp, present=True, drifted=drifted)
    if wanted.get("state") == "stopped":
        why = ["is enabled"] * unit.enabled + ["is running"] * unit.running
        return Due(why, "stopped" if why else "", "", unit.present)
    why = (["is not enabled"] if unit.present else ["is not installed"]) if not unit.enabled else []
    if unit.declined or waits:
        return Due(why + changed, "", stamp, unit.present)
    if not unit.running:
        why.append("is not running")
    state = action if changed else "" if unit.running else "started"
    return Due(why + changed, state, stamp, unit.present, drifted)
