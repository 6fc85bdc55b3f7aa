# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A health agent that runs, and what is found of one that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from ansible_collections.firstlight.cluster.plugins.module_utils.judge.agent import fingerprint
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.agent import LEVELS, RESULTS, SCHEMA

from tests.unit.properties.defects import UNKNOWN, Defect, file, forget
from tests.unit.properties.machine import Machine

CLASS = {"system": {"health_agent": True}, "compute": {"library": "cupy", "packages": ["cupy-cuda12x==13.6.0"]}}

WRONG = {"check": "compute.exact", "component": "gpu:1", "verdict": "fail", "summary": "1 wrong values"}
# A little less than what is too old.
MOST = {"full": 8900, "light": 590, "probe": 600_000}


def healthy(random: Random, machine: Machine) -> None:
    for level in LEVELS:
        age = random.uniform(0, min(MOST[level], machine.uptime))
        content = {
            "schema": SCHEMA,
            "taken_at": "2026-01-01T00:00:00+00:00",
            "boot_id": machine.boot_id,
            "uptime": machine.uptime - age,
            "seconds": random.uniform(0.1, 5),
            "cpu_seconds": random.uniform(0.1, 2),
            "class": machine.node_class["name"],
            "class_sha256": fingerprint(machine.node_class),
            "findings": [],
        }
        if random.random() < 0.1 and machine.uptime < MOST[level]:
            # Started anew a moment ago.
            content |= {"boot_id": "an earlier one", "uptime": random.uniform(0, 1e7)}
        machine.files[f"{RESULTS}/{level}.json"] = json.dumps(content)


def told(level: str, **other: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        path = f"{RESULTS}/{level}.json"
        machine.files[path] = json.dumps({**json.loads(machine.files[path]), **other})

    return spoil


def stopped(level: str, longer: float = 1e5) -> Callable[[Machine, Random], None]:
    """The node runs on, the agent does not."""

    def spoil(machine: Machine, random: Random) -> None:
        machine.uptime += longer
        machine.files["proc/uptime"] = f"{machine.uptime:.2f} 1.00"
        told(level, boot_id=machine.boot_id, uptime=machine.uptime - random.uniform(0.9 * longer, longer))(
            machine, random
        )

    return spoil


DEFECTS = [
    Defect("agent.fresh", "full passes stopped", stopped("full"), ("warn",)),
    Defect("agent.fresh", "light passes stopped", stopped("light"), ("warn",)),
    Defect("agent.fresh", "never ran", forget(RESULTS), ("warn",)),
    Defect("agent.fresh", "damaged", file(f"{RESULTS}/full.json", "{"), UNKNOWN),
    Defect("agent.probe", "wrong arithmetic", told("probe", findings=[WRONG])),
    Defect("agent.probe", "never idle", stopped("probe", 700_000), ("warn",)),
    Defect("agent.probe", "damaged", file(f"{RESULTS}/probe.json", "{"), UNKNOWN),
    Defect("agent.node_class", "an earlier class", told("full", class_sha256="0" * 64), ("warn",)),
    Defect("agent.node_class", "no class", told("light", class_sha256=None), UNKNOWN),
]
