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
    description: Seconds that each source may take. All are read at once, so that the whole pass takes hardly longer.
    type: float
    default: 20
  timeout:
    description: Seconds after which the controller stops waiting for the node, connecting to it included.
    type: float
    default: 120
  phase:
    description: Phase of the run that the findings belong to.
    type: str
    default: validate
seealso:
  - module: firstlight.cluster.node_observation
attributes:
  check_mode:
    support: full
    description: It only reads, and does the same in check mode.
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
parts:
  description:
    - The parts that the node showed, by kind, as O(firstlight.cluster.ledger#module:parts) takes them. A kind that
      could not be read is left out, so that it is empty for a node that did not answer.
  returned: always
  type: dict
observation:
  description: What was read, raw, by reader.
  returned: where no run is open
  type: dict
"""
