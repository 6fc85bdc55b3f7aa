#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_health
short_description: Judge a node's health against its node class
version_added: 0.1.0
description:
  - Reads GPUs, HCAs, kernel log, file systems, systemd, Docker, clock and memory of a node in one pass with
    M(firstlight.cluster.node_observation), every source in a process of its own with a deadline, and judges on the
    controller what was read against the node class.
  - What could not be read is V(unknown) and never V(pass). A source that hangs, crashes or is missing costs its own
    checks only.
  - The task itself never fails for a node's sake and never reports the node unreachable. A node that cannot be
    reached has the finding C(host.reachable), V(unknown); if the module fails on it, every other check is V(unknown).
  - All findings and the observation are stored in the directory of the run on the controller; only those that are
    not V(pass) are returned. Where no run is open, as with the C(ansible) command, all are returned.
options:
  node_class:
    description: The node class, as its file says it; see C(plugins/module_utils/schemas/node_class.schema.json).
    type: dict
    required: true
  nvml_path:
    description:
      - Directories to look for the Python module C(pynvml) in (from nvidia-ml-py), behind Python's own, as a rule
        C(site-packages) of a virtual environment on the node. May hold wildcards.
    type: list
    elements: path
    default: []
  deadline:
    description:
      - Seconds that each source may take. All are read at once, so that the whole pass takes hardly longer.
      - GPUs have as much for each, so that one that hangs is named and the others are judged, and GPUs that are slow to
        initialise are not taken for broken. All GPUs together have three times as much.
    type: float
    default: 20
  timeout:
    description:
      - Seconds after which the controller stops waiting for the node, connecting to it included. Should be well above
        three times O(deadline).
    type: float
    default: 120
  history_path:
    description:
      - File on the node in which the counters of errors are remembered from pass to pass, so that their growth can be
        judged and not their total. Where it cannot be used, the average since the node's boot is judged.
    type: path
    default: /var/lib/firstlight/health/counters.json
  phase:
    description: Phase of the run that the findings belong to.
    type: str
    default: validate
  source:
    description:
      - V(node) reads the node now. V(agent) takes what the node's health agent found last, which costs the node
        nothing.
      - Where that is not as good, since it is older than O(max_age), of another boot or another class, or lacks a
        check, the node is read all the same.
    type: str
    choices: [node, agent]
    default: node
  max_age:
    description:
      - Seconds that a pass of the agent counts for, with O(source=agent). A full pass comes every hour.
    type: float
    default: 4500
  kernel_log_templates:
    description:
      - Whether every line of the kernel log is read also where the class has no baseline to judge it by. What was read
        is in the observation, for M(firstlight.cluster.learn_kernel_log).
    type: bool
    default: false
seealso:
  - module: firstlight.cluster.node_observation
attributes:
  check_mode:
    support: full
    description: In check mode O(history_path) is read and not written. All else is the same, as it only reads.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Judge the node
  firstlight.cluster.node_health:
    node_class: "{{ node_class_data }}"
    nvml_path: [/opt/firstlight/nvml/lib/python3.11/site-packages]
  register: health
"""

RETURN = r"""
verdict:
  description: The worst verdict of all findings.
  returned: always
  type: str
  sample: fail
passed:
  description: How many findings passed.
  returned: always
  type: int
findings:
  description: Every finding that did not pass; all of them where no run is open.
  returned: always
  type: list
  elements: dict
  sample:
    - check: hca.state
      component: hca:mlx5_5
      verdict: fail
      observed: DOWN
      expected: ACTIVE
      summary: "mlx5_5: port is DOWN, physically Polling"
      remedy: Look at the switch port at the other end; clean and reseat the transceiver, then replace the cable.
      owner: network
      evidence: {}
read_anew:
  description: With O(source=agent) why the node was read all the same; empty where it was not.
  returned: always
  type: str
parts:
  description:
    - The parts that the node showed, by kind, as O(firstlight.cluster.ledger#module:parts) takes them. A kind that
      could not be read is left out, so that it is empty for a node that did not answer, and for what the agent
      found.
  returned: always
  type: dict
observation:
  description: What was read, raw, by reader.
  returned: where no run is open
  type: dict
"""
