# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: part_check
short_description: Compare the parts that nodes showed with the ledger
version_added: 0.2.0
description:
  - Writes into the ledger which parts M(firstlight.cluster.node_health) read in a phase, of every host of the play, and
    records the findings C(lifecycle.part.swapped), C(lifecycle.part.moved) and C(lifecycle.part.missing) in the run.
  - Compares with the parts that a node had when it was proved last; of one that never was, with those read first.
  - A kind of parts that was not read is not compared. Of a node that was not read nothing is recorded.
  - Runs once for all hosts of the play, with M(firstlight.cluster.ledger) on the host that has the ledger.
options:
  phase:
    description: Phase in which the nodes were read.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Compares as well, and writes below the artifacts directory only.
  diff_mode:
    support: none
    description: Changes nothing on a node.
seealso:
  - module: firstlight.cluster.ledger
  - module: firstlight.cluster.ledger_info
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Tell of parts that were exchanged
  firstlight.cluster.part_check:
    phase: health
  become: true
  delegate_to: "{{ groups['head_nodes'] | first }}"
  run_once: true
"""

RETURN = r"""
findings:
  description: Findings other than pass by node, of nodes that have any.
  returned: success
  type: dict
  sample:
    node02:
      - check: lifecycle.part.swapped
        component: gpu:3
        verdict: warn
        summary: "gpu 0000:4d:00.0: 1653021000123 -> 1653021000456 since run 20260103T030405Z-d4e5f6, unlike when the
          node was proved last (run 20260102T030405Z-a1b2c3)"
"""
