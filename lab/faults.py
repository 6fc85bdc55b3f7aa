# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: put into a machine, listed, taken out again. LABDIR/faults.json says which ones a machine has."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab import files, machines, region_faults
from lab.engine import Engine
from lab.errors import LabError
from lab.fault_kinds import KINDS
from lab.kinds.model import Kind, Target
from lab.site import Lab
from lab.vendor import gpus


def kinds() -> list[dict[str, Any]]:
    """Every kind: its name, its parameters with their defaults, the check that must find it, a summary."""
    return [
        {
            "kind": kind.name,
            "parameters": {parameter.name: parameter.default for parameter in kind.parameters},
            "check": kind.check,
            "summary": kind.summary,
        }
        for kind in KINDS.values()
    ]


def region_kinds() -> list[dict[str, Any]]:
    """Every kind of fault of the lab's MAAS: its name, its parameters with their defaults, a summary."""
    return [
        {
            "kind": kind.name,
            "parameters": {name: limit.default for name, limit in kind.parameters.items()},
            "summary": kind.summary,
        }
        for kind in region_faults.KINDS.values()
    ]


def of(labdir: Path) -> Mapping[str, list[dict[str, Any]]]:
    """The faults of each machine that has any, in the order in which they came."""
    content: Mapping[str, list[dict[str, Any]]] = files.read_json(labdir / "faults.json", {})
    return content


def inject(lab: Lab, node: str, name: str, given: Mapping[str, int]) -> dict[str, int]:
    """Put a fault into a node, or into the lab's MAAS (`node` is "maas"); its parameters as they were used.

    :raises LabError: no such node, kind or parameter (the message names the valid ones), or it cannot be done now.
    """
    if node == region_faults.REGION:
        return _inject_region(lab, name, given)
    kind = _kind(name)
    target = _target(lab, node)
    parameters = _parameters(kind, target, given)
    with _changing(lab) as faults:
        record = {"kind": name, "parameters": parameters}
        present = faults.setdefault(node, [])
        if any({"kind": one["kind"], "parameters": one["parameters"]} == record for one in present):
            raise LabError(f"{node} has this fault already; `python -m lab heal {node}` takes it out")
        if kind.needs_system and not target.engine.state(node).running:
            raise LabError(f"{node} is off: {name} is a fault of its operating system; deploy it or power it on first")
        # Written down first: what a killed injection has begun, a heal undoes.
        present.append({**record, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        _save(lab, faults)
        kind.inject(target, parameters)
    return parameters


def _inject_region(lab: Lab, name: str, given: Mapping[str, int]) -> dict[str, int]:
    machines.load(lab.directory)
    parameters = region_faults.used(name, given)
    with _changing(lab) as faults:
        if faults.get(region_faults.REGION):
            raise LabError(f"{region_faults.REGION} has a fault already; `python -m lab heal maas` takes it out")
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        faults[region_faults.REGION] = [{"kind": name, "parameters": parameters, "since": since}]
        _save(lab, faults)
        region_faults.inject(lab, name, parameters)
    return parameters


def _heal_region(lab: Lab) -> list[str]:
    with _changing(lab) as faults:
        healed = [fault["kind"] for fault in faults.pop(region_faults.REGION, [])]
        for name in healed:
            region_faults.heal(lab, name)
        _save(lab, faults)
    return healed


def heal(lab: Lab, node: str) -> list[str]:
    """Take every fault out of a node, or out of the lab's MAAS (`node` is "maas"); the kinds that it had.

    :raises LabError: no such node, or a fault that cannot be undone now (it stays listed).
    """
    if node == region_faults.REGION:
        return _heal_region(lab)
    target = _target(lab, node)
    healed: list[str] = []
    with _changing(lab) as faults:
        while faults.get(node):
            fault = faults[node][-1]
            kind = _kind(fault["kind"])
            if kind.needs_system and not target.engine.state(node).running:
                raise LabError(f"{node} is off: power it on, then heal it of {kind.name}")
            kind.heal(target, fault["parameters"])
            faults[node].pop()
            _save(lab, faults)
            healed.append(kind.name)
    return healed


def swap_gpu(lab: Lab, node: str, number: int) -> tuple[str, str]:
    """Exchange a GPU of a node for another part, which has none of its faults; the serial numbers of both.

    :raises LabError: no such node or GPU.
    """
    target = _target(lab, node)
    if not 0 <= number < target.machine.gpus:
        raise LabError(f"--gpu {number}: {node} takes 0 to {target.machine.gpus - 1}")
    with _changing(lab) as faults:
        for fault in [one for one in faults.get(node, ()) if one["parameters"] == {"gpu": number}]:
            _kind(fault["kind"]).heal(target, fault["parameters"])
            faults[node].remove(fault)
            _save(lab, faults)
        state = gpus.read(target.directory)
        before = str(state[number]["serial"])
        state[number].update(gpus.successor(state[number]))
        gpus.write(target.directory, state)
    return before, str(state[number]["serial"])


def _kind(name: str) -> Kind:
    try:
        return KINDS[name]
    except KeyError:
        raise LabError(f"no fault of kind {name!r}; there are: {', '.join(KINDS)}") from None


def _target(lab: Lab, node: str) -> Target:
    site = machines.load(lab.directory)
    machine = site.machine(node)
    if machine.role != "node":
        nodes = ", ".join(machine.name for machine in site.machines.values() if machine.role == "node")
        raise LabError(f"{node} is no GPU node; faults are for: {nodes}")
    return Target(lab, machine, Engine(lab))


def _parameters(kind: Kind, target: Target, given: Mapping[str, int]) -> dict[str, int]:
    known = {parameter.name: parameter for parameter in kind.parameters}
    for name in given:
        if name not in known:
            takes = ", ".join(f"--{known_name}" for known_name in known) or "no parameter"
            raise LabError(f"{kind.name} does not take --{name}; it takes {takes}")
    used = {name: given.get(name, parameter.default) for name, parameter in known.items()}
    for name, value in used.items():
        below = known[name].below(target.machine)
        if not known[name].least <= value < below:
            raise LabError(f"--{name} {value}: {target.machine.name} takes {known[name].least} to {below - 1}")
    return used


@contextlib.contextmanager
def _changing(lab: Lab) -> Iterator[dict[str, list[dict[str, Any]]]]:
    lock = lab.directory / "run" / "faults.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield {node: list(faults) for node, faults in of(lab.directory).items()}


def _save(lab: Lab, faults: Mapping[str, list[dict[str, Any]]]) -> None:
    files.write_json(lab.directory / "faults.json", {node: found for node, found in faults.items() if found})
