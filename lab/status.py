# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a lab stands. The JSON form is described by status.schema.json beside this file."""

from __future__ import annotations

from typing import Any

from lab import faults, machines, processes
from lab.bmc.power import State
from lab.region_faults import REGION
from lab.site import Lab
from lab.vm import machine as vm


def read(lab: Lab) -> dict[str, Any]:
    """The state of `lab`, also of one that is not there or only half up."""
    running = {part: processes.pid_of(lab, part) for part in (*processes.PARTS, *processes.FABRIC_PARTS)}
    found: dict[str, Any] = {}
    if (lab.directory / "machines.json").exists():
        having = faults.of(lab.directory)
        for machine in machines.load(lab.directory).machines.values():
            state = State.read(lab.directory / "bmc" / f"{machine.name}.json")
            found[machine.name] = {
                "role": machine.role,
                "power": state.power,
                "state": state.stage,
                "address": machine.address,
                "faults": [
                    {"kind": one["kind"], "parameters": one["parameters"]} for one in having.get(machine.name, [])
                ],
            }
    return {
        "schema": 1,
        "name": lab.name,
        "up": lab.description.exists() and None not in running.values(),
        "machines": found,
        "virtual_machine": _virtual_machine(lab),
        "region_faults": [
            {"kind": one["kind"], "parameters": one["parameters"]} for one in faults.of(lab.directory).get(REGION, [])
        ],
        "processes": {part: {"running": pid is not None, "pid": pid} for part, pid in running.items()},
    }


def table(status: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [f"lab {status['name']} is {'up' if status['up'] else 'not up'}"]
    dead = [part for part, process in status["processes"].items() if not process["running"]]
    if status["machines"]:
        if dead:
            lines.append(
                f"not running: {', '.join(dead)} (`python -m lab logs PART` shows why, `up` starts them again)"
            )
        lines.append(f"{'machine':<10} {'address':<15} {'power':<6} {'state':<14} faults")
        for name, machine in status["machines"].items():
            having = _faults(machine["faults"])
            lines.append(
                f"{name:<10} {machine['address']:<15} {machine['power']:<6} {machine['state']:<14} {having or '-'}"
            )
    if virtual := status["virtual_machine"]:
        state = "running" if virtual["running"] else "off (`python -m lab vm up` switches it on)"
        lines.append(f"{virtual['name']:<10} {virtual['address']:<15} {'-':<6} {state}")
    if status["region_faults"]:
        lines.append(f"MAAS has a fault: {_faults(status['region_faults'])} (`lab heal {REGION}`)")
    return "\n".join(lines)


def _virtual_machine(lab: Lab) -> dict[str, Any] | None:
    described = vm.describe(lab)
    if described is None:
        return None
    running = processes.pid_of(lab, vm.NAME) is not None
    return {"name": described["name"], "address": described["address"], "running": running}


def _faults(having: list[dict[str, Any]]) -> str:
    shown = [
        " ".join([fault["kind"], *(f"{key}={value}" for key, value in fault["parameters"].items())]) for fault in having
    ]
    return ", ".join(shown)
