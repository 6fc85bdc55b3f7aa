#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All-reduce inside a node or across nodes, with localisation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: all_reduce
short_description: Measure all-reduce and name the node or path that makes it slow
version_added: 0.1.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Runs C(all_reduce_perf) of nccl-tests inside one node, or across nodes through Open MPI 4.1 or 5.0, and judges the
    bus bandwidth at the largest size against O(floor_gbps).
  - When the group of all nodes fails or is slow, pairs of its nodes are measured until the node common to the slow
    pairs, or the path between two nodes, is known. A slow pair is measured twice, and the better of the two counts.
    The nodes that the pairs clear are then measured again as a group, without the others, which is the proof that
    they are good.
  - A node about which nothing can be told gets the verdict V(unknown), never V(pass).
  - Every run is bounded; what a run has started is ended with it.
attributes:
  check_mode:
    description: Nothing is run in check mode and the task is skipped.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
options:
  scope:
    description:
      - V(intra) runs on this host alone, without MPI; O(hosts) then names this host and nothing else.
      - V(inter) starts one process on each of O(hosts) and O(references) with C(mpirun), from this host.
    type: str
    choices: [intra, inter]
    default: inter
  hosts:
    description:
      - The nodes to judge, by the names that ssh on this host knows.
    type: list
    elements: str
    required: true
  references:
    description:
      - Nodes known to be good that take part in O(scope=inter) without being judged. They make it possible to prove
        a single node.
    type: list
    elements: str
    default: []
  gpus:
    description: GPUs of each node.
    type: int
    default: 8
  min_bytes:
    description: Smallest message in bytes.
    type: int
    default: 8
  max_bytes:
    description: Largest message in bytes, whose bus bandwidth is judged.
    type: int
    default: 134217728
  step_factor:
    description: Each message is so many times larger than the one before.
    type: int
    default: 2
  iterations:
    description: Measured iterations of each size.
    type: int
    default: 20
  warmup_iterations:
    description: Iterations of each size that are not measured.
    type: int
    default: 5
  floor_gbps:
    description:
      - Bus bandwidth in GB/s below which a run is slow. Without it only failures and wrong values count.
    type: float
  localise:
    description: Whether a failed or slow group is followed by pairs.
    type: bool
    default: true
  pair_ratio:
    description: A pair slower than this share of what the median node reaches in its best pair is slow.
    type: float
    default: 0.6
  pair_schedule:
    description:
      - V(circle) measures every pair, V(ring) every node with both neighbours and doubtful ones with known-good nodes.
      - V(auto) is V(circle) for up to six nodes and V(ring) above.
    type: str
    choices: [auto, circle, ring]
    default: auto
  parallel_pairs:
    description: How many pairs of one round run at the same time.
    type: int
    default: 1
  network:
    description:
      - Network in CIDR notation over which MPI connects the nodes (start-up and TCP transport).
      - Needed where hosts have further interfaces with the same address everywhere, such as C(docker0).
    type: str
  environment:
    description: Environment variables of the ranks, such as C(NCCL_IB_HCA).
    type: dict
    default: {}
  binary:
    description: The C(all_reduce_perf) program, the same on every node.
    type: str
    default: all_reduce_perf
  mpirun:
    description: The C(mpirun) program.
    type: str
    default: mpirun
  timeout:
    description: Seconds after which one run hangs, is ended, and has failed.
    type: float
    default: 600
  deadline:
    description:
      - Seconds for all runs together. What is not measured by then is V(unknown).
    type: float
    default: 7200
notes:
  - Run it as the user whose ssh key the nodes accept (C(become_user)). Open MPI refuses to be started by root.
"""

EXAMPLES = r"""
- name: Measure all-reduce inside every node
  firstlight.cluster.all_reduce:
    scope: intra
    hosts: ["{{ inventory_hostname }}"]
    floor_gbps: 460

- name: Measure all-reduce across the nodes and name a slow one
  firstlight.cluster.all_reduce:
    hosts: "{{ ansible_play_hosts }}"
    network: 10.20.0.0/22
    floor_gbps: 440
    environment:
      NCCL_IB_HCA: mlx5
  delegate_to: head01
  run_once: true
  become: true
  become_user: cluster
"""

RETURN = r"""
findings:
  description: Findings by node, for each of O(hosts).
  returned: unless skipped
  type: dict
  sample:
    node02:
      - {check: collective.pair, component: host, verdict: fail}
measured:
  description:
    - What was measured, with the command line of every run. In C(inter) scope C(group), C(pairs), C(slow_once),
      C(localisation) and C(proof); in C(intra) scope C(group) alone.
  returned: unless skipped
  type: dict
commands:
  description: The command line of every run, in order, also of those that could not be started.
  returned: unless skipped
  type: list
  elements: list
"""

import ipaddress
import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.collective import campaign, judge
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.measure import Collective, Measurement

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_POSITIVE = ("gpus", "min_bytes", "max_bytes", "iterations", "parallel_pairs", "timeout", "deadline")


def problems(params: dict[str, Any], is_root: bool) -> list[str]:
    """What is wrong with the options, all of it, each with the option's name."""
    found = [f"{name}: must be greater than 0, not {params[name]}" for name in _POSITIVE if params[name] <= 0]
    if params["warmup_iterations"] < 0:
        found.append(f"warmup_iterations: must not be negative, not {params['warmup_iterations']}")
    if params["step_factor"] < 2:
        found.append(f"step_factor: must be at least 2, not {params['step_factor']}")
    if params["min_bytes"] > params["max_bytes"]:
        found.append(f"min_bytes: {params['min_bytes']} is more than max_bytes, {params['max_bytes']}")
    if not 0 < params["pair_ratio"] < 1:
        found.append(f"pair_ratio: must lie between 0 and 1, not {params['pair_ratio']}")
    if params["floor_gbps"] is not None and params["floor_gbps"] < 0:
        found.append(f"floor_gbps: must not be negative, not {params['floor_gbps']}")
    found += _host_problems(params, is_root)
    if params["network"] is not None:
        try:
            ipaddress.ip_network(params["network"])
        except ValueError as error:
            found.append(f"network: {error}; give the network's own address, such as 10.20.0.0/22")
    found += [
        f"environment: {name!r} is no name of an environment variable"
        for name in params["environment"]
        if not _VARIABLE.fullmatch(str(name))
    ]
    return found


def _host_problems(params: dict[str, Any], is_root: bool) -> list[str]:
    found = []
    for option in ("hosts", "references"):
        found += [f"{option}: {name!r} is no host name" for name in params[option] if not _HOST.fullmatch(name)]
    names = [*params["hosts"], *params["references"]]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        found.append(f"hosts, references: named more than once: {', '.join(repeated)}")
    if not params["hosts"]:
        found.append("hosts: is empty; name the nodes to measure")
    if params["scope"] == "intra" and len(names) != 1:
        found.append("hosts: scope intra measures one host, and references have no part in it")
    if params["scope"] == "inter" and is_root:
        found.append("become_user: Open MPI refuses to be started by root; become the user whose ssh key nodes accept")
    return found


def measurer(collective: Collective, parallel: int, deadline: float) -> campaign.Measurer:
    """Measures groups of hosts, `parallel` of them at once, until `deadline` seconds from now."""
    end = time.monotonic() + deadline

    def time_left() -> float:
        return end - time.monotonic()

    def measure(groups: Sequence[Sequence[str]]) -> list[Measurement]:
        with ThreadPoolExecutor(max_workers=min(parallel, len(groups))) as pool:
            return list(pool.map(lambda hosts: collective.run(hosts, time_left), groups))

    return measure


def run(params: dict[str, Any]) -> dict[str, Any]:
    """The module's result."""
    collective = Collective(
        **{
            name: params[name]
            for name in (
                "binary", "mpirun", "gpus", "min_bytes", "max_bytes", "step_factor", "iterations",
                "warmup_iterations", "network", "timeout",
            )
        },
        environment={str(name): str(value) for name, value in params["environment"].items()},
    )  # fmt: skip
    measure = measurer(collective, params["parallel_pairs"], params["deadline"])
    hosts, floor = params["hosts"], params["floor_gbps"]
    if params["scope"] == "intra":
        measurement = measure([hosts])[0]
        findings = {hosts[0]: [judge.judge_intra(measurement, floor)]}
        measured: dict[str, Any] = {"group": measurement.to_dict(), "floor_gbps": floor}
        runs = [measurement]
    elif len(hosts) + len(params["references"]) < 2:
        findings, measured, runs = {hosts[0]: [judge.judge_alone(hosts[0])]}, {}, []
    else:
        result = campaign.run(
            [*hosts, *params["references"]],
            measure,
            floor=floor,
            localise_slow=params["localise"],
            pair_ratio=params["pair_ratio"],
            schedule=params["pair_schedule"],
        )
        findings, measured, runs = judge.judge_inter(hosts, result), result.to_dict(), result.measurements()
    return {
        "changed": False,
        "findings": {host: [each.to_dict() for each in judged] for host, judged in findings.items()},
        "measured": measured,
        "commands": [list(each.command) for each in runs],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "scope": {"type": "str", "choices": ["intra", "inter"], "default": "inter"},
            "hosts": {"type": "list", "elements": "str", "required": True},
            "references": {"type": "list", "elements": "str", "default": []},
            "gpus": {"type": "int", "default": 8},
            "min_bytes": {"type": "int", "default": 8},
            "max_bytes": {"type": "int", "default": 134217728},
            "step_factor": {"type": "int", "default": 2},
            "iterations": {"type": "int", "default": 20},
            "warmup_iterations": {"type": "int", "default": 5},
            "floor_gbps": {"type": "float"},
            "localise": {"type": "bool", "default": True},
            "pair_ratio": {"type": "float", "default": 0.6},
            "pair_schedule": {"type": "str", "choices": ["auto", "circle", "ring"], "default": "auto"},
            "parallel_pairs": {"type": "int", "default": 1},
            "network": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            "binary": {"type": "str", "default": "all_reduce_perf"},
            "mpirun": {"type": "str", "default": "mpirun"},
            "timeout": {"type": "float", "default": 600},
            "deadline": {"type": "float", "default": 7200},
        },
        supports_check_mode=True,
    )
    wrong = problems(module.params, os.geteuid() == 0)
    if wrong:
        module.fail_json(msg="; ".join(wrong))
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="check mode: no collective is run")
    module.exit_json(**run(module.params))


if __name__ == "__main__":
    main()
