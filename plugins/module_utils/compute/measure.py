# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the test on all GPUs of this node, each in a process of its own with a deadline.

All compute at once, as they do in a job, so that power and cooling are those of a job. Then each copies alone, so that
what a figure says is one path and not what its neighbours left of it.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..observe.nvml import load_pynvml, read_nvml
from ..observe.runner import run_readers
from .devices import open_device
from .watch import Watch
from .worker import Load, burn, copies

# What the first step of every process is called: what fails there is no GPU's fault yet.
OPENING = "opening the GPU"
_NVML_SECONDS = 30.0


@dataclass(frozen=True)
class Stress:
    """What is run, where its libraries are, and how long one process may take: `burn_deadline` and, for the copies of
    each GPU, `copy_deadline`, in seconds. `folder`: where the processes leave which step they are at."""

    library: str
    library_path: Sequence[str]
    nvml_path: Sequence[str]
    load: Load
    burn_deadline: float
    copy_deadline: float
    folder: Path


def measure(stress: Stress) -> dict[str, Any]:
    """`error` where the GPUs cannot be listed, else `gpus`, in NVML's order.

    Of each what NVML tells of its place (`index`, `uuid`, `pci`, `minor`, `model`, or `error`), and `burn` and
    `copies`: what `run_readers` tells of the process (`status`, `data` or `error`, `seconds`) with the last `step` that
    it took. A GPU that did not come through `burn` is not asked to copy: both would be the same hang.
    """
    listed = run_readers({"nvml": lambda: read_nvml(load_pynvml(stress.nvml_path))}, _NVML_SECONDS)["nvml"]
    if listed["status"] != "ok":
        return {"error": f"nvml: {listed['error']}"}
    gpus = [
        {key: gpu[key] for key in ("index", "uuid", "pci", "minor", "model", "error", "code") if key in gpu}
        for gpu in listed["data"]["gpus"]
    ]
    found = {gpu["uuid"]: gpu for gpu in gpus if isinstance(gpu.get("uuid"), str)}
    burned = _run(stress, {uuid: functools.partial(_burn, stress, uuid) for uuid in found}, stress.burn_deadline)
    for uuid, outcome in burned.items():
        found[uuid]["burn"] = outcome
    well = [uuid for uuid, outcome in burned.items() if outcome["status"] == "ok"]
    for uuid in well:
        peers = [peer for peer in well if peer != uuid]
        program = functools.partial(_copies, stress, uuid, found[uuid].get("pci"), peers)
        found[uuid]["copies"] = _run(stress, {uuid: program}, stress.copy_deadline)[uuid]
    return {"gpus": gpus}


def _run(stress: Stress, programs: Mapping[str, Callable[[], Any]], deadline: float) -> dict[str, dict[str, Any]]:
    for uuid in programs:
        _say(stress, uuid, OPENING)
    outcomes = run_readers(programs, deadline)
    return {uuid: {**outcome, "step": _step_file(stress, uuid).read_text()} for uuid, outcome in outcomes.items()}


def _step_file(stress: Stress, uuid: str) -> Path:
    return stress.folder / uuid


def _say(stress: Stress, uuid: str, step: str) -> None:
    _step_file(stress, uuid).write_text(step)


def cpus_near(sys: Path, pci: Any) -> set[int]:
    """Numbers of the processors beside a PCI device; empty where the kernel does not tell. `sys`: /sys."""
    try:
        told = (sys / "bus/pci/devices" / str(pci) / "local_cpulist").read_text()
        ranges = [part.partition("-") for part in told.strip().split(",") if part]
        return {cpu for first, _dash, last in ranges for cpu in range(int(first), int(last or first) + 1)}
    except (OSError, ValueError):
        return set()


def _stay_near(pci: Any) -> None:
    """Run beside the GPU from now on, so that pinned memory lies there too: across sockets a copy is slower."""
    near = cpus_near(Path("/sys"), pci) & os.sched_getaffinity(0)
    if near:
        os.sched_setaffinity(0, near)


def _burn(stress: Stress, uuid: str) -> dict[str, Any]:
    say = functools.partial(_say, stress, uuid)
    watch = Watch(load_pynvml(stress.nvml_path), uuid)
    device = open_device(stress.library, stress.library_path, [uuid])
    return burn(device, importlib.import_module("numpy"), stress.load, watch, say)


def _copies(stress: Stress, uuid: str, pci: Any, peers: Sequence[str]) -> dict[str, Any]:
    say = functools.partial(_say, stress, uuid)
    _stay_near(pci)
    device = open_device(stress.library, stress.library_path, [uuid, *peers])
    return copies(device, importlib.import_module("numpy"), stress.load, peers, say)
