#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arithmetic, bandwidth and endurance of a node's GPUs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_stress
short_description: Test what the GPUs of a node compute and copy, and how fast, under load
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Computes on all GPUs at once, each in a process of its own, and compares. Matrix products, sums and integer
    arithmetic on small integers have one right answer and must have it to the bit, before and after the soak. Matrix
    products of real numbers, transcendental functions and sums of squares must come out the same twice, and the same as
    on most GPUs of the node.
  - Before that it fills nine tenths of each GPU's free memory with a pattern, then with its complement, and reads it
    again.
  - Measures TFLOP/s by format, the bandwidth of the GPU's memory, and then of one GPU after the other what it gets from
    the host, sends to it, and sends to every other GPU, and whether all bytes arrive as they were sent.
  - Multiplies for O(soak_seconds) without a pause and watches speed, temperature, clocks, what holds them down, and
    counters of errors.
  - Judges all that against the node class. What only a fleet can tell,
    P(firstlight.cluster.compute_fleet#filter) makes of the V(fleet) of many nodes.
  - Every process has a deadline. One that does not answer, crashes, or fails once it has its GPU, is a V(fail) of that
    GPU and names the kernel; nothing of it outlives the module. Where the library or NVML is missing all is V(unknown).
  - Where the driver names a process that computes on a GPU nothing is run, as work and test would spoil each other.
    Every check is then V(unknown), or V(warn) on a node that is O(in_service).
attributes:
  check_mode:
    description: Nothing is run in check mode; every check then warns that nothing was measured.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
options:
  node_class:
    description: The node class, as its file says it. Without C(compute) in it, or without GPUs, nothing is run.
    type: dict
    required: true
  library_path:
    description:
      - Directories to look for the array library and NumPy in, before Python's own, as a rule C(site-packages) of a
        virtual environment on the node. May hold wildcards.
    type: list
    elements: path
    default: []
  nvml_path:
    description: Directories to look for the Python module C(pynvml) in (from nvidia-ml-py), behind Python's own.
    type: list
    elements: path
    default: []
  in_service:
    description: Whether the node is in service, and so keeps its place although its GPUs cannot be tested for work.
    type: bool
    default: false
  size:
    description: Rows and columns of the matrices that are timed.
    type: int
    default: 8192
  buffer_bytes:
    description: Bytes of the copies that are timed.
    type: int
    default: 1073741824
  soak_seconds:
    description: How long all GPUs multiply without a pause. Some rounds are made in any case.
    type: float
    default: 60
  deadline:
    description:
      - Seconds that the computing of all GPUs may take together, as they compute at once. More than O(soak_seconds).
    type: float
    default: 600
  copy_deadline:
    description: Seconds that the copies of each GPU may take.
    type: float
    default: 120
seealso:
  - plugin: firstlight.cluster.compute_fleet
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Test the GPUs
  firstlight.cluster.gpu_stress:
    node_class: "{{ node_class_data }}"
    library_path: [/opt/firstlight/venv/lib/python3*/site-packages]
    nvml_path: [/opt/firstlight/venv/lib/python3*/site-packages]
    soak_seconds: 600
    deadline: 1200
  become: true
  register: __gpu_stress
"""

RETURN = r"""
findings:
  description:
    - Findings of every C(compute.*) check of the class but C(compute.fleet), which check mode tells of as well.
  returned: success
  type: list
  elements: dict
  sample:
    - check: compute.exact
      component: gpu:3
      verdict: fail
      summary: "gpu:3 matmul fp16: 1 wrong values in 3 of 3 rounds, the first at [128, 0] is 17.015625 and not 17.0"
measured:
  description:
    - What came of every GPU's processes - C(gpus), each with C(uuid), C(burn) and C(copies), or an C(error).
  returned: when something was run
  type: dict
fleet:
  description: What P(firstlight.cluster.compute_fleet#filter) needs of the node.
  returned: when something was run
  type: dict
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.catalog.checks import finding
from ..module_utils.catalog.compute import expected_compute
from ..module_utils.compute.fleet import summary_of
from ..module_utils.compute.judge import judge
from ..module_utils.compute.measure import Stress, measure
from ..module_utils.compute.worker import Load
from ..module_utils.findings import Verdict
from ..module_utils.observe.holders import SECONDS_FOR_NVIDIA_SMI, compute_processes, holders
from ..module_utils.observe.runner import run_readers

_DRAIN = "Drain the node, or end what computes there, then run validate.yml on it again."
_POSITIVE = ("size", "buffer_bytes", "deadline", "copy_deadline")


def problems(params: dict[str, Any]) -> list[str]:
    """What is wrong with the options, all of it, each with the option's name."""
    found = [f"{name}: must be greater than 0, not {params[name]}" for name in _POSITIVE if params[name] <= 0]
    if params["soak_seconds"] < 0:
        found.append(f"soak_seconds: must not be negative, not {params['soak_seconds']}")
    if params["deadline"] <= params["soak_seconds"]:
        found.append(f"deadline: {params['deadline']:g} s end before soak_seconds, {params['soak_seconds']:g} s")
    return found


def computing() -> str:
    """Who computes on a GPU of this node, empty for nobody. Where the driver does not tell, the test finds out why."""
    told = run_readers({"nvidia-smi": compute_processes}, SECONDS_FOR_NVIDIA_SMI)["nvidia-smi"]
    pids = told.get("data") or []
    return ", ".join(holder["label"] for holder in holders(Path("/proc"), (), dict.fromkeys(pids, "")))


def untested(checks: Iterable[str], verdict: Verdict, why: str, remedy: str | None = None) -> list[dict[str, Any]]:
    """A finding of each check that says why there is nothing to find."""
    return [finding(check, "host", verdict, why, remedy=remedy).to_dict() for check in checks]


def run(params: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The module's result, where there is something to run."""
    node_class = params["node_class"]
    stress = Stress(
        library=node_class["compute"]["library"],
        library_path=params["library_path"],
        nvml_path=params["nvml_path"],
        load=Load(params["size"], params["buffer_bytes"], params["soak_seconds"]),
        burn_deadline=params["deadline"],
        copy_deadline=params["copy_deadline"],
        folder=folder,
    )
    measured = measure(stress)
    return {
        "findings": [each.to_dict() for each in judge(measured, node_class)],
        "measured": measured,
        "fleet": summary_of(measured, node_class),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "node_class": {"type": "dict", "required": True},
            "library_path": {"type": "list", "elements": "path", "default": []},
            "nvml_path": {"type": "list", "elements": "path", "default": []},
            "in_service": {"type": "bool", "default": False},
            "size": {"type": "int", "default": 8192},
            "buffer_bytes": {"type": "int", "default": 1073741824},
            "soak_seconds": {"type": "float", "default": 60},
            "deadline": {"type": "float", "default": 600},
            "copy_deadline": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )
    wrong = problems(module.params)
    if wrong:
        module.fail_json(msg="; ".join(wrong))
    checks = expected_compute(module.params["node_class"])
    if not checks:
        module.exit_json(changed=False, findings=[])
    if module.check_mode:
        module.exit_json(changed=False, findings=untested(checks, Verdict.WARN, "not measured in check mode"))
    working = computing()
    if working:
        verdict = Verdict.WARN if module.params["in_service"] else Verdict.UNKNOWN
        module.exit_json(
            changed=False, findings=untested(checks, verdict, f"not tested: {working} on the GPUs", _DRAIN)
        )
    module.exit_json(changed=False, **run(module.params, Path(module.tmpdir)))


if __name__ == "__main__":
    main()
